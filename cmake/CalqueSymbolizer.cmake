# The plugin libcalque_symbolizer.so: return addresses to source lines, through libdw; opened when a line is printed.
calque_glob(symbolizer_sources "compiler/symbolizer_plugin/*.cpp")
if(symbolizer_sources)
  find_library(CALQUE_LIBDW dw REQUIRED)
  add_library(calque_symbolizer MODULE ${symbolizer_sources})
  target_include_directories(calque_symbolizer PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(calque_symbolizer PRIVATE ${CALQUE_LIBDW})
  target_link_options(calque_symbolizer PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/plugin_exports.map)
endif()
