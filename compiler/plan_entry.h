// What a cache entry of a compiled program says of itself: for which build and processor it was made, for
// which function first, and whether its parts are what they should be.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/cache.h"
#include "ir/graph/graph.h"

namespace calque {

/// The first lines of a key, which stand before the description of the program.
struct PlanHeader {
  std::string build;     // hash of the sources that shape what is stored
  std::string codegen;   // "LLVM 19.1.7"
  std::string isa;       // "avx2" or "avx512"
  std::string disabled;  // passes that were left out
};

/// That of this process. Throws EnvironmentError where nothing can be compiled.
PlanHeader own_plan_header();
std::string print(const PlanHeader& header);

/// A graph as keys and entries have it: functions that do the same share an entry, whatever they are called.
std::string print_program(const Graph& graph);

/// The part that names the function for which a program was compiled. Nothing depends on it.
inline constexpr const char* kFunctionPart = "function";
/// That name, for people; "?" where it is missing or no identifier.
std::string function_of(const Blobs& parts);

/// A key, taken apart.
struct PlanKey {
  PlanHeader header;
  bool is_backward = false;  // a backward pass alone, for outputs of which some get no gradient
};

/// Nothing when the text is no key of a compiled program.
std::optional<PlanKey> parse_plan_key(std::string_view key);

/// Whether this library made it: the same sources and the same code generator.
bool is_of_this_build(const PlanKey& key);

/// What is wrong with the parts of a program of this build (texts that do not parse, images with a wrong
/// header), or an empty text.
std::string fault_of_plan(const Blobs& parts);

}  // namespace calque
