# The build id: one hash over all that shapes generated code and what is stored beside it. Library and plugin compare it when the plugin
# opens, and it is part of every cache key. Include "calque_build_id.h" from one .cpp file per target: it
# changes with each edit of these folders.
calque_glob(build_id_inputs RECURSE
  "ir/*.cpp" "ir/*.h" "ir/*.def" "ir/*.inc" "passes/*.cpp" "passes/*.h" "codegen/*.cpp" "codegen/*.h"
  "include/calque/kernel_abi.h"
  "compiler/segment_graph.cpp" "compiler/compiled_segment.cpp" "compiler/absent_gradients.cpp" "compiler/plan_text.cpp"
  "compiler/plan_entry.cpp" "compiler/kernel_text.cpp" "compiler/kernel_store.cpp")
set(build_id_list ${PROJECT_BINARY_DIR}/generated_lists/build_id_inputs.txt)
list(JOIN build_id_inputs "\n" build_id_lines)
file(CONFIGURE OUTPUT ${build_id_list} CONTENT "${build_id_lines}" @ONLY)

add_custom_command(
  OUTPUT ${CALQUE_GENERATED_DIR}/calque_build_id.h
  COMMAND ${CMAKE_COMMAND} -D ROOT=${PROJECT_SOURCE_DIR} -D LIST=${build_id_list}
          -D OUTPUT=${CALQUE_GENERATED_DIR}/calque_build_id.h -P ${CMAKE_CURRENT_LIST_DIR}/write_build_id.cmake
  DEPENDS ${build_id_inputs} ${build_id_list} ${CMAKE_CURRENT_LIST_DIR}/write_build_id.cmake
  COMMENT "Hashing the compiler's sources into the build id"
  VERBATIM)
add_custom_target(calque_build_id DEPENDS ${CALQUE_GENERATED_DIR}/calque_build_id.h)
