# The plugin libcalque_cpu_codegen.so: graph to machine code. LLVM's archives are linked into it statically
# and hidden (opening it takes 2 ms, Debian's shared libLLVM 9 ms); it exports only C functions calque_*.
calque_glob(codegen_sources "codegen/cpu/*.cpp")
if(codegen_sources)
  # LLVM's archives name these as targets. The run-time libraries that llvm-19 depends on are enough to link
  # against: no header of theirs is used, so their -dev packages are not needed.
  foreach(name z zstd)
    find_library(CALQUE_LIB${name} NAMES ${name} lib${name}.so.1 REQUIRED)
  endforeach()
  add_library(ZLIB::ZLIB SHARED IMPORTED)
  set_target_properties(ZLIB::ZLIB PROPERTIES IMPORTED_LOCATION ${CALQUE_LIBz})
  add_library(zstd::libzstd_shared SHARED IMPORTED)
  set_target_properties(zstd::libzstd_shared PROPERTIES IMPORTED_LOCATION ${CALQUE_LIBzstd})
  set(CMAKE_MESSAGE_LOG_LEVEL NOTICE)  # LLVM also asks for libraries of its tools, which nothing here uses
  find_package(LLVM 19.1 REQUIRED CONFIG HINTS /usr/lib/llvm-19/lib/cmake/llvm)
  unset(CMAKE_MESSAGE_LOG_LEVEL)
  # Part of every cache key; the library must know it without opening the plugin.
  target_compile_definitions(calque PRIVATE CALQUE_LLVM_VERSION="LLVM ${LLVM_PACKAGE_VERSION}")
  llvm_map_components_to_libnames(llvm_libraries x86codegen x86asmparser x86desc x86info x86disassembler
    passes mc mcdisassembler core support target targetparser codegen analysis irreader object)

  add_library(calque_cpu_codegen MODULE ${codegen_sources})
  target_include_directories(calque_cpu_codegen PRIVATE ${CALQUE_GENERATED_DIR})
  target_include_directories(calque_cpu_codegen SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
  separate_arguments(llvm_definitions NATIVE_COMMAND "${LLVM_DEFINITIONS}")
  target_compile_definitions(calque_cpu_codegen PRIVATE XXH_INLINE_ALL ${llvm_definitions})
  target_link_libraries(calque_cpu_codegen PRIVATE calque_ir ${llvm_libraries})
  calque_precompile(calque_cpu_codegen ${CALQUE_STANDARD_HEADERS} <llvm/IR/IRBuilder.h> <llvm/IR/Module.h>)
  target_link_options(calque_cpu_codegen PRIVATE -Wl,--exclude-libs,ALL -Wl,--gc-sections -Wl,--as-needed
    -Wl,-z,pack-relative-relocs  # half a millisecond less to open
    -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/plugin_exports.map)
  set_target_properties(calque_cpu_codegen PROPERTIES
    LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/plugin_exports.map)
  add_dependencies(calque_cpu_codegen calque_build_id)
  if(CALQUE_SANITIZE MATCHES "undefined")
    target_compile_options(calque_cpu_codegen PRIVATE -fno-sanitize=vptr)  # LLVM itself is not instrumented
  endif()
endif()
