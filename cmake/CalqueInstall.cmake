# What is installed: the libraries and public headers with a CMake package (`find_package(calque)`, target
# calque::calque), the program, and the plugins in a folder that the library knows (CALQUE_PLUGIN_DIR).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(CALQUE_PLUGIN_FOLDER ${CMAKE_INSTALL_LIBDIR}/calque)
target_compile_definitions(calque PRIVATE
  CALQUE_PLUGIN_DIR="${CMAKE_INSTALL_FULL_LIBDIR}/calque")  # looked in after the program's own folder

install(TARGETS calque calque_ir EXPORT calque_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(plugin calque_cpu_codegen calque_symbolizer)
  if(TARGET ${plugin})
    install(TARGETS ${plugin} LIBRARY DESTINATION ${CALQUE_PLUGIN_FOLDER})
  endif()
endforeach()
if(TARGET calque_cli)
  install(TARGETS calque_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Public headers may include ir/op, so that is installed with them.
install(DIRECTORY include/calque DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ir/op DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ir
        FILES_MATCHING PATTERN "*.h" PATTERN "*.def" PATTERN "*.inc")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/calque)
install(EXPORT calque_targets NAMESPACE calque:: DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/calqueConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/calqueConfig.cmake
              ${CMAKE_BINARY_DIR}/package/calqueConfigVersion.cmake DESTINATION ${package_folder})
