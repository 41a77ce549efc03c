# What is built; language, warnings, floating-point rules, sanitizers and output folders, the same for every target.
# A project that includes this one by add_subdirectory wants the library: the rest is off there.
option(CALQUE_BUILD_PROGRAMS "Build the program calque and the examples" ${PROJECT_IS_TOP_LEVEL})
option(CALQUE_BUILD_TESTS "Build tests and benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(CALQUE_INSTALL "Install Calque with this project" ${PROJECT_IS_TOP_LEVEL})
option(CALQUE_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
option(CALQUE_PRECOMPILE "Parse the heaviest foreign headers once a target, and compile small sources together" ON)
set(CALQUE_SANITIZE "" CACHE STRING "Sanitizers for every target, for example address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_UNITY_BUILD OFF)

# Line tables in every build: reports name the user's source line. Assertions stay on except in Release.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")

# Engines agree in every bit: no contraction, no fast-math flag anywhere.
add_compile_options(-Wall -Wextra -ffp-contract=off)
# Public functions are visible, but nobody replaces them: they are inlined and called directly all the same.
add_compile_options(-fno-semantic-interposition)
# The shared library reaches its thread-local variables as fast as a program does; they are few bytes, so that it can
# still be opened late (dlopen).
add_compile_options(-ftls-model=initial-exec)
if(CALQUE_WERROR)
  add_compile_options(-Werror)
endif()
if(CALQUE_SANITIZE)
  add_compile_options(-fsanitize=${CALQUE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)  # misfires in instrumented standard headers (GCC bug 105562)
  add_link_options(-fsanitize=${CALQUE_SANITIZE})
endif()

# Programs and the shared library find their plugins in their own folder.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CALQUE_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)
