if(TARGET ev3_core)
  add_subdirectory(docs)
endif()
