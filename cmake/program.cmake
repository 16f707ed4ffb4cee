# The program `ev3`: ev3/cli/main.cpp on top of a library of the other files there, which the tests link too.
ev3_library(ev3_cli FOLDERS ev3/cli EXCEPT ev3/cli/main.cpp LINK ev3_core)
if(NOT TARGET ev3_cli)
  return()
endif()
target_link_libraries(ev3_cli PUBLIC nlohmann_json::nlohmann_json CLI11::CLI11 tomlplusplus::tomlplusplus fmt::fmt)
# Nothing here is worth -O3, which takes a third longer to build; for size, a third is saved. Most of what
# UndefinedBehaviorSanitizer would look at here is code of CLI11, toml++ and nlohmann-json.
target_compile_options(ev3_cli PRIVATE $<$<CONFIG:Release>:-Os> "$<$<CONFIG:Debug>:-O0;-fno-sanitize=undefined>")
foreach(what BLAS TBB HIGHWAY ZLIB)
  if(EV3_HAVE_${what})
    target_compile_definitions(ev3_cli PRIVATE EV3_HAVE_${what}=1)
  endif()
endforeach()

# build_info.h is rewritten at build time, when the commit changes. Only the program may see it: nothing that
# is stored in a model or a checkpoint depends on it.
set(EV3_GENERATED "${PROJECT_BINARY_DIR}/generated")
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}}" EV3_FLAGS)
set(EV3_PACKAGES "")
foreach(package "HIGHWAY;Highway;${hwy_VERSION}" "BLAS;OpenBLAS;" "TBB;oneTBB;${TBB_VERSION}" "ZLIB;zlib;${ZLIB_VERSION_STRING}"
                "CUDA;${EV3_CUDA_TOOLKIT}")
  list(GET package 0 what)
  list(REMOVE_AT package 0)
  list(JOIN package " " package)
  string(STRIP "${package}" package)
  if(EV3_HAVE_${what})
    list(APPEND EV3_PACKAGES "${package}")
  endif()
endforeach()
list(JOIN EV3_PACKAGES ", " EV3_PACKAGES)
add_custom_target(ev3_build_info
  COMMAND "${CMAKE_COMMAND}" -DSOURCE=${PROJECT_SOURCE_DIR} -DEV3_VERSION=${PROJECT_VERSION}
          "-DEV3_COMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
          "-DEV3_FLAGS=${EV3_FLAGS}" "-DEV3_PACKAGES=${EV3_PACKAGES}" -DEV3_BUILD_TYPE=${CMAKE_BUILD_TYPE}
          -DOUTPUT=${EV3_GENERATED}/ev3/cli/build_info.h
          -P "${PROJECT_SOURCE_DIR}/cmake/build_info.cmake"
  BYPRODUCTS "${EV3_GENERATED}/ev3/cli/build_info.h"
  COMMENT "" VERBATIM)
add_dependencies(ev3_cli ev3_build_info)
target_include_directories(ev3_cli PRIVATE "${EV3_GENERATED}")

if(EXISTS "${PROJECT_SOURCE_DIR}/ev3/cli/main.cpp")
  add_executable(ev3 ev3/cli/main.cpp)
  ev3_common(ev3)
  target_link_libraries(ev3 PRIVATE ev3_cli)
  target_compile_options(ev3 PRIVATE $<$<CONFIG:Release>:-Os> $<$<CONFIG:Debug>:-O0>)
  # At the top of the build folder: build/release/ev3.
  set_target_properties(ev3 PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
endif()
