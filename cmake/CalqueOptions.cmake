# Language, warnings, floating-point rules, sanitizers and output folders, the same for every target.
option(CALQUE_WERROR "Treat warnings as errors" ON)
set(CALQUE_SANITIZE "" CACHE STRING "Sanitizers for every target, for example address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
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
if(CALQUE_WERROR)
  add_compile_options(-Werror)
endif()
if(CALQUE_SANITIZE)
  add_compile_options(-fsanitize=${CALQUE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)  # misfires in instrumented standard headers (GCC bug 105562)
  add_link_options(-fsanitize=${CALQUE_SANITIZE})
endif()

# The program finds its plugins in its own folder.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CALQUE_GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
