# OpenBLAS with its own cblas.h (it declares openblas_get_corename and openblas_set_num_threads too).
# Defines Cblas::Cblas. Distributions put the header beside the library's flavour, hence the suffixes.
find_path(Cblas_INCLUDE_DIR openblas_config.h
          PATH_SUFFIXES openblas-pthread openblas-serial openblas-openmp openblas)
find_library(Cblas_LIBRARY openblas)
mark_as_advanced(Cblas_INCLUDE_DIR Cblas_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cblas REQUIRED_VARS Cblas_LIBRARY Cblas_INCLUDE_DIR)

if(Cblas_FOUND AND NOT TARGET Cblas::Cblas)
  add_library(Cblas::Cblas UNKNOWN IMPORTED)
  set_target_properties(Cblas::Cblas PROPERTIES IMPORTED_LOCATION "${Cblas_LIBRARY}"
                                                INTERFACE_INCLUDE_DIRECTORIES "${Cblas_INCLUDE_DIR}")
endif()
