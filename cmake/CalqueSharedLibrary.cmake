# libcalque.so, what users link as calque::calque: the objects of the archives `calque` and `calque_ir` once more. Visible
# is what the public headers declare (each says so by `#pragma GCC visibility`), hidden everything else.
add_library(calque_shared SHARED
  $<TARGET_OBJECTS:calque> $<TARGET_OBJECTS:calque_ir> ${CALQUE_KERNEL_OBJECTS})
add_library(calque::calque ALIAS calque_shared)
set_target_properties(calque_shared PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME calque EXPORT_NAME calque
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/library_exports.map)
target_link_libraries(calque_shared PRIVATE fmt::fmt Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(calque_shared PRIVATE -Wl,--gc-sections -Wl,--as-needed -Wl,-Bsymbolic-functions
  -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/library_exports.map)
target_compile_features(calque_shared INTERFACE cxx_std_20)
calque_needs_plugins(calque_shared)

# Whoever builds against this tree sees include/calque and, of all other folders, only the op table that it includes.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/public/ir)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/ir/op ${PROJECT_BINARY_DIR}/public/ir/op SYMBOLIC)
target_include_directories(calque_shared INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/public>
  $<INSTALL_INTERFACE:include>)

# Where an installed program finds the plugins; the library has them in a folder beside itself.
include(GNUInstallDirs)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR}
           OUTPUT_VARIABLE lib_from_bin)
target_compile_definitions(calque PRIVATE CALQUE_PLUGINS_FROM_PROGRAM="${lib_from_bin}/calque")
