# What is shipped: symbols, sizes, and the installed tree as outside projects use it.
set(check_symbols ${PROJECT_SOURCE_DIR}/scripts/check_symbols.py)
add_test(NAME check_weak_symbols COMMAND ${check_symbols} weak ${CALQUE_KERNEL_OBJECTS} COMMAND_EXPAND_LISTS)
add_test(NAME check_plugin_exports
  COMMAND ${check_symbols} exports $<TARGET_FILE:calque_cpu_codegen> $<TARGET_FILE:calque_symbolizer>)
add_test(NAME check_library_exports COMMAND ${check_symbols} library $<TARGET_FILE:calque_shared>)
add_test(NAME sizes COMMAND ${PROJECT_SOURCE_DIR}/scripts/sizes.py ${PROJECT_BINARY_DIR}/bin)
set_tests_properties(check_weak_symbols PROPERTIES LABELS unit)
set_tests_properties(check_plugin_exports check_library_exports sizes PROPERTIES LABELS install)

# calque_add_install_test(<case>...): cases of check_install.py; `prefix` comes first and installs for the others.
function(calque_add_install_test)
  foreach(case ${ARGN})
    add_test(NAME install_${case}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/install/check_install.py ${case} --build ${PROJECT_BINARY_DIR}
              --work ${PROJECT_BINARY_DIR}/test_install --cmake ${CMAKE_COMMAND} --compiler ${CMAKE_CXX_COMPILER})
    set_tests_properties(install_${case} PROPERTIES LABELS install SKIP_RETURN_CODE 77 TIMEOUT 600
      FIXTURES_REQUIRED installed_prefix)
  endforeach()
endfunction()

if(CALQUE_INSTALL AND CALQUE_BUILD_PROGRAMS)
  calque_add_install_test(prefix find_package pkg_config subdirectory without_plugin without_symbolizer late headers program deb examples)
  set_tests_properties(install_prefix PROPERTIES FIXTURES_SETUP installed_prefix FIXTURES_REQUIRED "")
endif()
