// Runs fusions through the CPU code generator's C entry and compares them, bit for bit, with the interpreter.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "codegen/cpu/plugin_api.h"
#include "ir/graph/graph.h"
#include "ir/graph/literal.h"

namespace calque::test {

/// The instruction sets to test: all that this machine has, or the one that CALQUE_ISA names (none for
/// baseline, which has no generated code).
std::vector<std::string> tested_isas();

/// The plugin, opened from the folder of the test program.
struct CodegenPlugin {
  decltype(&calque_codegen_compile) compile;
  decltype(&calque_codegen_release) release;
  decltype(&calque_codegen_version) version;
};
const CodegenPlugin& codegen_plugin();

/// A request for `text` with this build's versions; both strings must outlive it.
calque_codegen_request codegen_request(const std::string& text, const std::string& isa);

/// An image, mapped readable and executable.
class MappedImage {
 public:
  /// Compiles a graph; fails the test with the plugin's sentence if it cannot.
  MappedImage(const std::string& text, const std::string& isa);
  explicit MappedImage(std::span<const uint8_t> image);
  ~MappedImage();
  MappedImage(const MappedImage&) = delete;
  MappedImage& operator=(const MappedImage&) = delete;

  uint32_t kernel_count() const;
  /// Of the first kernel.
  bool takes_any_columns() const;
  /// `other_end`: the rows of a domain of columns, the columns of one of rows.
  void run(uint32_t kernel, std::span<void* const> buffers, std::span<const int64_t> strides, int64_t begin,
           int64_t end, int64_t other_end = 0) const;

 private:
  void map(std::span<const uint8_t> image);
  uint8_t* base_ = nullptr;
  size_t bytes_ = 0;
};

/// Memory with an inaccessible page right behind its last byte.
class GuardedBytes {
 public:
  explicit GuardedBytes(size_t bytes);
  ~GuardedBytes();
  GuardedBytes(GuardedBytes&& other) noexcept;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  uint8_t* base_ = nullptr;
  size_t mapped_ = 0;
};

/// How to run a kernel beside the plain way.
struct RunOptions {
  int64_t row_gap = 0;      // extra elements between the rows of operands in a rows or columns domain
  int in_place_input = -1;  // result 0 shares the buffer of this input
  std::vector<int64_t> splits = {};  // the domain is computed in parts that end here
};

/// The graph's only node is a fusion of all its inputs; its outputs are the fusion's results. Further inputs are constants that the
/// kernel takes.
std::vector<Literal> run_generated(const MappedImage& image, const Graph& graph,
                                   std::span<const Literal> inputs, const RunOptions& options = {});

/// Numbers of a type: special values first, then random ones of mixed size. Reproducible from the seed.
Literal sample(const Type& type, uint64_t seed);
/// Small numbers without special values.
Literal plain_sample(const Type& type, uint64_t seed);

/// The same types and bits, where any NaN equals any NaN; else a sentence on the first difference.
std::string difference(const Literal& expected, const Literal& actual);

/// Compiles `text` for each tested isa, also for rows of any number of columns if it can be, runs it with sampled inputs, and checks
/// all results against the interpreter.
void check_against_interpreter(const std::string& text, const RunOptions& options = {});
void check_against_interpreter(const std::string& text, std::span<const Literal> inputs,
                               const RunOptions& options = {});

/// A graph of one fusion over all its inputs, whose block has the same input names and these lines.
struct FusionText {
  std::vector<Type> inputs;  // %x0, %x1, ...
  std::vector<Type> results;
  Domain domain = Domain::flat;
  int64_t rows = 1, columns = 1;
  std::string block;  // "%0 = add %x0, %x1 : f32[4]\n return %0"
};
std::string to_text(const FusionText& fusion);

}  // namespace calque::test
