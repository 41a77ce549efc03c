// The code generator as the compiler sees it: a plugin that is opened when something has to be compiled for
// the first time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace calque {

struct CodegenOutput {
  std::vector<std::byte> image;   // see calque/kernel_abi.h
  std::string llvm_ir, assembly;  // only when asked for
};

/// Generates code for the fusions of a graph given as IR text, one kernel each, in order. Any number of
/// threads may call. Throws EnvironmentError with one sentence: no AVX2, no plugin, a plugin of another
/// build, or what the generator reports.
CodegenOutput generate(const std::string& graph_text, bool want_text);

// What belongs into a cache key. None of it opens the plugin.

/// Version of the code generator that this library was built with: "LLVM 19.1.7".
std::string codegen_version();
/// Hash of the sources that shape generated code.
std::string codegen_build_id();
/// "avx2" or "avx512": what generate() generates for. Throws EnvironmentError where the processor (or
/// CALQUE_ISA) has less.
std::string codegen_isa();

/// Whether this process has opened the plugin.
bool codegen_was_opened();

}  // namespace calque
