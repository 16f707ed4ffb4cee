# Installs BUILD into a folder of its own, then builds and runs another project against it.
set(folder "${BUILD}/install-check")
file(REMOVE_RECURSE "${folder}")

function(step)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
endfunction()

step("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${folder}/prefix")
set(toolchain "")
if(TOOLCHAIN)
  set(toolchain "-DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN}")
endif()
step("${CMAKE_COMMAND}" -S "${SOURCE}/tests/install" -B "${folder}/build" -G "${GENERATOR}"
     "-DCMAKE_PREFIX_PATH=${folder}/prefix" "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_FLAGS=${FLAGS}"
     -DCMAKE_FIND_PACKAGE_PREFER_CONFIG=ON ${toolchain})
step("${CMAKE_COMMAND}" --build "${folder}/build")
step(${EMULATOR} "${folder}/build/user")
if(EXISTS "${folder}/prefix/bin/ev3")
  step("${folder}/prefix/bin/ev3" --version)
endif()
file(REMOVE_RECURSE "${folder}")
