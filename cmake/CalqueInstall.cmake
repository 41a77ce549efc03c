# What is installed: the library and public headers with packages for find_package(Calque) (target calque::calque) and
# for pkg-config, the program, and the plugins in a folder that library and program find from where they are themselves:
# an installed tree may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # what was built is installed and packed; tests are not built for that

install(TARGETS calque_shared EXPORT calque_targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(plugin calque_cpu_codegen calque_symbolizer)
  if(TARGET ${plugin})
    install(TARGETS ${plugin} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/calque)
  endif()
endforeach()
if(TARGET calque_cli)
  install(TARGETS calque_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Public headers include the op table as "ir/op/..." and are found beside it: all of Calque's headers are below
# include/calque.
install(DIRECTORY include/calque DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
set(public_op_headers attributes.h dtype.h error.h type.h functions.inc elementwise.def structural.def)
list(TRANSFORM public_op_headers PREPEND ir/op/)
install(FILES ${public_op_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/calque/ir/op)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Calque)
install(EXPORT calque_targets NAMESPACE calque:: FILE CalqueTargets.cmake DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/CalqueConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/CalqueConfig.cmake ${PROJECT_BINARY_DIR}/package/CalqueConfigVersion.cmake
        DESTINATION ${package_folder})

# The path from the .pc file to the prefix, so that the file needs no change when the tree is moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
           OUTPUT_VARIABLE CALQUE_PC_TO_PREFIX)
configure_file(${CMAKE_CURRENT_LIST_DIR}/calque.pc.in ${PROJECT_BINARY_DIR}/package/calque.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/package/calque.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/calque RENAME copyright)
