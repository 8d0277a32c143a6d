# `cmake --install`, and CPack's .tar.gz and .deb of it (scripts/package.sh).
#
# The program's libraries from .venv go with it, so that its folder can be moved; those of the system are packages that
# the .deb depends on. With CUDA they would be several GB, some of which are loaded by name: such a program is installed
# alone, and finds them where they were when it was built.
set(_documents share/doc/tpsp-bench)

if(TPSP_WITH_CUDA)
  set_target_properties(tpsp-bench PROPERTIES INSTALL_RPATH "${CMAKE_BUILD_RPATH}" INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS tpsp-bench RUNTIME DESTINATION bin)
else()
  set(_libraries lib/tpsp-bench)
  set_target_properties(tpsp-bench PROPERTIES INSTALL_RPATH "$ORIGIN/../${_libraries}")
  install(TARGETS tpsp-bench RUNTIME_DEPENDENCY_SET tpsp_libraries RUNTIME DESTINATION bin)
  # LibTorch's libgomp is taken by its path: the others would find the system's.
  install(RUNTIME_DEPENDENCY_SET tpsp_libraries PRE_EXCLUDE_REGEXES "^libgomp" POST_EXCLUDE_REGEXES "^/lib" "^/usr/lib"
          LIBRARY DESTINATION ${_libraries})
  file(REAL_PATH "${TPSP_GOMP}" _gomp)
  if(NOT _gomp MATCHES "^(/usr)?/lib")
    install(FILES "${_gomp}" DESTINATION ${_libraries} RENAME libgomp.so.1)
  endif()
  # The licences of what goes with it.
  cmake_path(GET TPSP_TORCH_DIR PARENT_PATH _packages)
  foreach(_package IN ITEMS torch onednn_cpu_gomp nvidia_cuda_runtime nvidia_cuda_cupti)
    file(GLOB _licences "${_packages}/${_package}-*.dist-info/LICENSE*" "${_packages}/${_package}-*.dist-info/licenses/*")
    install(FILES ${_licences} DESTINATION ${_documents}/licences/${_package})
  endforeach()
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/README.md" DESTINATION ${_documents})

if(NOT TPSP_WITH_CUDA)
  set(CPACK_GENERATOR TGZ DEB)
  set(CPACK_PACKAGE_NAME tpsp-bench)
  set(CPACK_SYSTEM_NAME "${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
  set(CPACK_PACKAGE_CONTACT "the authors of tpsp-bench")
  set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
  set(CPACK_DEBIAN_PACKAGE_SECTION science)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)  # its mpirun
  include(CPack)
endif()
