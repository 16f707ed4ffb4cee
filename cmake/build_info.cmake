# Writes build_info.h, and touches it only when its content changes.
set(EV3_GIT_HASH unknown)
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS "${SOURCE}/.git")
  execute_process(COMMAND "${GIT_EXECUTABLE}" describe --always --dirty --exclude=* --abbrev=12
                  WORKING_DIRECTORY "${SOURCE}" OUTPUT_VARIABLE hash RESULT_VARIABLE status
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(status EQUAL 0)
    set(EV3_GIT_HASH "${hash}")
  endif()
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/build_info.h.in" "${OUTPUT}" @ONLY)
