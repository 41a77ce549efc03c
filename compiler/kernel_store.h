// The generated kernels of this process, known by their text: plans that differ in sizes which kernels take at run time use
// the same ones.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/codegen_client.h"
#include "compiler/image.h"
#include "compiler/kernel_text.h"
#include "ir/graph/graph.h"

namespace calque {

/// The code of a fusion: an image of one kernel, and the constants that it takes behind the fusion's operands.
struct Kernel {
  std::shared_ptr<const ExecutableImage> image;
  std::vector<KernelConstant> constants;
};
/// One for each fusion of a lowered graph, in order.
using Kernels = std::vector<Kernel>;

/// The kernels of a graph, if all are in the store; none where CALQUE_DUMP asks for new ones. Here and below, `length` is that of rows
/// of which no kernel of their own length is in the store.
std::optional<Kernels> known_kernels(const Graph& lowered, RowLength length);

/// The kernels of a graph; what is not in the store is generated. `generations` counts calls of the code generator.
/// `dump_name` names the files of CALQUE_DUMP. Any number of threads. Throws EnvironmentError as generate() does.
Kernels generated_kernels(const Graph& lowered, RowLength length, const std::string& dump_name, uint64_t& generations);

/// What tells these kernels from others.
std::string key_of_kernels(const Graph& lowered, RowLength length);

/// The kernels of a graph from images that were stored with it (by another process, say); they become known here. Throws
/// EnvironmentError when an image is broken, or there is not exactly one of one kernel for each fusion.
Kernels stored_kernels(const Graph& lowered, std::span<const std::string> images);

/// LLVM IR and assembly of a graph's kernels, generated anew; the image is that of the last one.
CodegenOutput generated_text(const Graph& lowered, RowLength length);

}  // namespace calque
