# ev3_common(TARGET): what holds for all our code.
function(ev3_common target)
  # nvcc's own output is not pedantic.
  set(cpp "$<$<COMPILE_LANGUAGE:CXX>:")
  target_compile_options(${target} PRIVATE "${cpp}-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-fno-math-errno>")
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow,-Wconversion;--expt-relaxed-constexpr;-fmad=false>")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # "text" + std::string: a false alarm, GCC bug 105651
  endif()
  if(CMAKE_UNITY_BUILD)  # a local name may be that of a file built together with this one
    target_compile_options(${target} PRIVATE "${cpp}-Wno-shadow>")
  endif()
  if(EV3_WERROR)
    target_compile_options(${target} PRIVATE "${cpp}-Werror>" "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
  endif()
endfunction()

# By path from the repository root: what is worth -O3.
set(EV3_FAST_SOURCES "^autodiff/(tensor|graph|kernels/(portable|simd|blas|cuda))/" "^autodiff/(kernels/(backend|parallel)|program/(program|binding))[.]"
    "^nn/(optimizers|training|evaluate|metrics)[.]" "^datasets/(sample_reader|stream|shrink|synthetic)[.]"
    "^ev3/(explore|assess|confidence|logits_batches)[.]")
list(JOIN EV3_FAST_SOURCES "|" EV3_FAST_SOURCES)

# g++ on x86 keeps addresses in vector registers where it is short of others; from there they come back behind all
# multiply-adds that are under way.
include(CheckCXXCompilerFlag)
set(EV3_SIMD_OPTION "-mtune-ctrl=^inter_unit_moves_from_vec,^inter_unit_moves_to_vec")
check_cxx_compiler_flag(${EV3_SIMD_OPTION} EV3_HAS_SIMD_OPTION)

# ev3_library(NAME FOLDERS folder... [EXCEPT source...] [LINK target...]): a static library of all .cpp files in
# these folders (not below them). Folders without sources make no library, and nothing links it.
function(ev3_library name)
  cmake_parse_arguments(arg "" "" "FOLDERS;EXCEPT;LINK" ${ARGN})
  set(sources "")
  foreach(folder IN LISTS arg_FOLDERS)
    file(GLOB found CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${folder}/*.cpp"
         "${PROJECT_SOURCE_DIR}/${folder}/*.cu")
    list(APPEND sources ${found})
  endforeach()
  if(NOT EV3_HAVE_JSON)
    list(APPEND arg_EXCEPT ${EV3_JSON_SOURCES})
  endif()
  list(REMOVE_ITEM sources ${arg_EXCEPT} "")
  if(NOT sources)
    return()
  endif()

  add_library(${name} STATIC ${sources})
  ev3_common(${name})
  # Nothing but kernels and what runs in every step is worth -O3; the rest is a quarter smaller for size. Debug builds
  # optimise kernels alone: the others take twice as long to build so. CMAKE_UNITY_BUILD puts the rest together.
  set(cpp "$<COMPILE_LANGUAGE:CXX>")
  target_compile_options(${name} PRIVATE $<$<AND:${cpp},$<CONFIG:Release>>:-Os> $<$<AND:${cpp},$<CONFIG:Debug>>:-O0>)
  separate_arguments(debug UNIX_COMMAND "${CMAKE_CXX_FLAGS_DEBUG}")
  foreach(source IN LISTS sources)
    if(source MATCHES "${EV3_FAST_SOURCES}" AND (EV3_CUDA_EMULATED OR NOT source MATCHES "[.]cu$"))
      set(options $<$<CONFIG:Release>:-O3>)
      if(source MATCHES "^autodiff/")
        list(APPEND options "$<$<CONFIG:Debug>:${debug}>")
      endif()
      if(source MATCHES "/simd/")
        # UndefinedBehaviorSanitizer's check of every address doubles the time they take to build.
        list(APPEND options $<$<CONFIG:Debug>:-fno-sanitize=pointer-overflow>)
        if(EV3_HAS_SIMD_OPTION)
          list(APPEND options ${EV3_SIMD_OPTION})
        endif()
      endif()
      set_property(SOURCE "${PROJECT_SOURCE_DIR}/${source}" APPEND PROPERTY COMPILE_OPTIONS ${options})
    endif()
  endforeach()
  target_include_directories(${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>"
                                            "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/ev3>")
  target_compile_features(${name} PUBLIC cxx_std_20)
  # Public, because the headers hold templates: fused multiply-adds would change results between compilers.
  target_compile_options(${name} PUBLIC $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  foreach(library IN LISTS arg_LINK)
    if(TARGET ${library})
      target_link_libraries(${name} PUBLIC ${library})
    endif()
  endforeach()
  set_property(GLOBAL APPEND PROPERTY EV3_LIBRARIES ${name})
endfunction()

# ev3_use(TARGET WHAT library): links an optional package, privately, and defines EV3_HAVE_WHAT=1, if it was found.
function(ev3_use target what library)
  if(TARGET ${target} AND EV3_HAVE_${what})
    target_compile_definitions(${target} PRIVATE EV3_HAVE_${what}=1)
    target_link_libraries(${target} PRIVATE ${library})
  endif()
endfunction()

# ev3_emulates(TARGET folder): its .cu files are C++, and find the headers of folder/emulated instead of the toolkit's.
function(ev3_emulates target folder)
  if(TARGET ${target})
    # Addresses beside an array that has no elements are formed, and never used.
    set(options -xc++ -Wno-unknown-pragmas -fno-sanitize=pointer-overflow)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")  # loops that devices want unrolled take it minutes
      list(APPEND options -mllvm -pragma-unroll-threshold=0 -Wno-pass-failed)
    endif()
    file(GLOB sources "${PROJECT_SOURCE_DIR}/${folder}/*.cu")
    set_source_files_properties(${sources} PROPERTIES LANGUAGE CXX COMPILE_DEFINITIONS __CUDA_ARCH__=900)
    set_property(SOURCE ${sources} APPEND PROPERTY COMPILE_OPTIONS ${options})
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/${folder}/emulated")
    target_compile_definitions(${target} PRIVATE EV3_CUDA_EMULATED=1)
  endif()
endfunction()
