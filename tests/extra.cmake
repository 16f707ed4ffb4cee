if(EV3_BUILD_EXAMPLES AND TARGET ev3_core)
  add_subdirectory(docs)
endif()
