# `cmake --install`: program, libraries, headers, and a package for find_package(ev3), target ev3::ev3.
include(CMakePackageConfigHelpers)
if(NOT TARGET ev3_core)
  return()
endif()

add_library(ev3_all INTERFACE)
target_link_libraries(ev3_all INTERFACE ev3_core)
set_target_properties(ev3_all PROPERTIES EXPORT_NAME ev3)
add_library(ev3::ev3 ALIAS ev3_all)

get_property(libraries GLOBAL PROPERTY EV3_LIBRARIES)
list(REMOVE_ITEM libraries ev3_cli)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/ev3")
install(TARGETS ${libraries} ev3_all EXPORT ev3Targets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT ev3Targets NAMESPACE ev3:: DESTINATION "${package_folder}")
install(DIRECTORY autodiff nn datasets ev3 DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ev3"
        FILES_MATCHING PATTERN "*.h" PATTERN "ev3/cli" EXCLUDE)

configure_package_config_file(cmake/ev3Config.cmake.in "${PROJECT_BINARY_DIR}/ev3Config.cmake"
                              INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/ev3ConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/ev3Config.cmake" "${PROJECT_BINARY_DIR}/ev3ConfigVersion.cmake"
              cmake/FindCblas.cmake DESTINATION "${package_folder}")

if(TARGET ev3)
  install(TARGETS ev3 RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  if(EXISTS "${PROJECT_SOURCE_DIR}/scripts/completion.bash")
    install(FILES scripts/completion.bash DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME ev3)
  endif()
endif()
install(FILES LICENSE NOTICE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
