# Runs the program of a page and compares what it prints with what the page says.
#   cmake -DPROGRAM=[emulator;]... -DEXPECTED=... -DPAGE=docs/x.md -P run.cmake
cmake_minimum_required(VERSION 3.22)
set(got "${EXPECTED}.got")
execute_process(COMMAND ${PROGRAM} OUTPUT_FILE "${got}" ERROR_VARIABLE errors RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${PAGE}: its program ended with ${result}\n${errors}")
endif()
file(READ "${EXPECTED}" expected_text)
file(READ "${got}" got_text)
if(NOT got_text STREQUAL expected_text)
  message("${PAGE} says:\n${expected_text}\nbut its code prints:\n${got_text}")
  message(FATAL_ERROR "${PAGE}: correct the page or the code; what it prints is in ${got}")
endif()
