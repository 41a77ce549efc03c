# How sources are found: by folder, looked for again at every build; a folder may be empty.

# calque_glob(<variable> [RECURSE] <pattern>...): files that match, from the repository root.
function(calque_glob variable)
  cmake_parse_arguments(PARSE_ARGV 1 arg "RECURSE" "" "")
  set(mode GLOB)
  if(arg_RECURSE)
    set(mode GLOB_RECURSE)
  endif()
  list(TRANSFORM arg_UNPARSED_ARGUMENTS PREPEND ${PROJECT_SOURCE_DIR}/)
  file(${mode} files CONFIGURE_DEPENDS ${arg_UNPARSED_ARGUMENTS})
  set(${variable} ${files} PARENT_SCOPE)
endfunction()

# calque_add_library_sources(<target> [<source>...]): an archive needs one object, even while its folders are empty.
function(calque_add_library_sources target)
  if(NOT ARGN)
    set(placeholder ${PROJECT_BINARY_DIR}/generated/${target}_empty.cpp)
    file(CONFIGURE OUTPUT ${placeholder} CONTENT "// Keeps an archive without sources valid.\n")
    set(ARGN ${placeholder})
  endif()
  target_sources(${target} PRIVATE ${ARGN})
endfunction()

set(CALQUE_STANDARD_HEADERS <algorithm> <array> <atomic> <cmath> <functional> <map> <memory> <mutex> <optional> <set>
  <span> <string> <unordered_map> <vector> <fmt/format.h> <fmt/ranges.h>)

# calque_precompile(<target> <header>...): headers parsed once for all sources of the target, which still include what
# they use: sanitizer presets build without. With REUSE_FROM <target> they are those of a target with the same flags.
function(calque_precompile target)
  if(NOT CALQUE_PRECOMPILE)
    return()
  endif()
  if(ARGV1 STREQUAL REUSE_FROM)
    target_precompile_headers(${target} ${ARGN})
  else()
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# calque_compile_together(<target> <count>): so many small sources at a time are one compilation, which reads headers and
# instantiates templates once for all of them: half the work. Names of file-local things hence differ within a target; a
# source that must stay alone has the property SKIP_UNITY_BUILD_INCLUSION. Where nothing is precompiled, each stays alone.
function(calque_compile_together target count)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${CALQUE_PRECOMPILE} UNITY_BUILD_BATCH_SIZE ${count})
  target_compile_options(${target} PRIVATE -Wno-subobject-linkage)  # takes the sources for headers
endfunction()

# calque_needs_plugins(<program>): the plugins it opens at run time are built with it.
function(calque_needs_plugins program)
  foreach(plugin calque_cpu_codegen calque_symbolizer)
    if(TARGET ${plugin})
      add_dependencies(${program} ${plugin})
    endif()
  endforeach()
endfunction()

# calque_add_programs(FOLDER <folder> LIBRARY <library> [PREFIX <prefix>]): each <folder>/<name>.cpp becomes the program
# <prefix><name>.
function(calque_add_programs)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "FOLDER;LIBRARY;PREFIX" "")
  calque_glob(sources "${arg_FOLDER}/*.cpp")
  foreach(source ${sources})
    cmake_path(GET source STEM LAST_ONLY name)
    set(program ${arg_PREFIX}${name})
    add_executable(${program} ${source})
    target_link_libraries(${program} PRIVATE ${arg_LIBRARY})
    calque_needs_plugins(${program})
  endforeach()
endfunction()
