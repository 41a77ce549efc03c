# Eager kernels: each runtime/kernels/*.isa.cpp is compiled once per instruction-set level, each in a namespace
# of its own (CALQUE_ISA_LEVEL is a bare word: `namespace calque::kernels::CALQUE_ISA_LEVEL`). No object may
# define a weak symbol: the linker could keep the AVX-512 copy for every machine.
set(CALQUE_ISA_LEVELS baseline avx2 avx512)
set(march_baseline x86-64)
set(march_avx2 x86-64-v3)
set(march_avx512 x86-64-v4)

calque_glob(kernel_sources "runtime/kernels/*.isa.cpp")
if(kernel_sources)
  set(kernel_objects "")
  foreach(level ${CALQUE_ISA_LEVELS})
    set(kernels calque_kernels_${level})
    add_library(${kernels} OBJECT ${kernel_sources})
    target_include_directories(${kernels} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
    target_compile_definitions(${kernels} PRIVATE CALQUE_ISA_LEVEL=${level})
    target_compile_options(${kernels} PRIVATE -O3 -march=${march_${level}} -ffp-contract=off -fno-math-errno)
    target_sources(calque PRIVATE $<TARGET_OBJECTS:${kernels}>)
    list(APPEND kernel_objects $<TARGET_OBJECTS:${kernels}>)
  endforeach()
  # Sanitizers add weak symbols of their own, and only optimized objects are shipped.
  if(NOT CALQUE_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "^Rel")
    add_test(NAME check_weak_symbols COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_symbols.py weak ${kernel_objects}
             COMMAND_EXPAND_LISTS)
    set_tests_properties(check_weak_symbols PROPERTIES LABELS unit)
  endif()
endif()
