# Eager kernels: each runtime/kernels/*.isa.cpp is compiled once per instruction-set level, each in a namespace
# of its own (CALQUE_ISA_LEVEL is a bare word: `namespace calque::kernels::CALQUE_ISA_LEVEL`). No object may
# define a weak symbol: the linker could keep the AVX-512 copy for every machine.
set(CALQUE_ISA_LEVELS baseline avx2 avx512)
set(march_baseline x86-64)
set(march_avx2 x86-64-v3)
set(march_avx512 x86-64-v4)

set(CALQUE_KERNEL_OBJECTS "")
calque_glob(kernel_sources "runtime/kernels/*.isa.cpp")
if(kernel_sources)
  foreach(level ${CALQUE_ISA_LEVELS})
    set(kernels calque_kernels_${level})
    add_library(${kernels} OBJECT ${kernel_sources})
    target_include_directories(${kernels} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
    target_compile_definitions(${kernels} PRIVATE CALQUE_ISA_LEVEL=${level})
    target_compile_options(${kernels} PRIVATE -O3 -march=${march_${level}} -ffp-contract=off -fno-math-errno)
    target_sources(calque PRIVATE $<TARGET_OBJECTS:${kernels}>)
    list(APPEND CALQUE_KERNEL_OBJECTS $<TARGET_OBJECTS:${kernels}>)
  endforeach()
endif()
