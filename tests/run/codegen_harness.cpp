// Opens the plugin, maps its images, lays out guarded buffers and compares results.
#include "tests/run/codegen_harness.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "calque/kernel_abi.h"
#include "compiler/codegen_client.h"
#include "compiler/kernel_text.h"
#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"

namespace calque::test {

namespace {

constexpr size_t kPage = 4096;
size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

bool machine_has(const std::string& isa) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  return isa == "avx2" || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
}

template <class F>
F symbol(void* library, const char* name) {
  void* address = dlsym(library, name);
  REQUIRE(address != nullptr);
  return reinterpret_cast<F>(address);
}

/// A value of a fusion as rows of a buffer.
struct RowLayout {
  int64_t rows = 1, row_bytes = 0, stride = 0;
};
RowLayout layout_of(const Type& type, const Node& fusion, int64_t row_gap) {
  const int64_t element = static_cast<int64_t>(size_of(type.dtype));
  const bool flat = fusion.attributes[0] == static_cast<int64_t>(Domain::flat);
  RowLayout layout;
  if (!flat)
    for (int axis = 0; axis + 1 < type.shape.rank(); ++axis) layout.rows *= type.shape[axis];
  const int64_t width = flat ? type.shape.element_count() : type.shape.rank() > 0 ? type.shape.back() : 1;
  layout.row_bytes = width * element;
  layout.stride = layout.rows == 1 ? 0 : (width + row_gap) * element;
  return layout;
}
size_t bytes_of(const RowLayout& layout) {
  return layout.rows == 0 ? 0 : (layout.rows - 1) * layout.stride + layout.row_bytes;
}

template <class T>
std::vector<T> kernel_values() {
  using L = std::numeric_limits<T>;
  std::vector<T> values{T(0), T(1), T(2), T(3), L::max(), L::lowest()};
  if constexpr (std::is_signed_v<T>) values.insert(values.end(), {T(-1), T(-2)});
  if constexpr (std::is_floating_point_v<T>) {
    for (T value : {T(-0.0),
                    L::infinity(),
                    -L::infinity(),
                    L::quiet_NaN(),
                    L::denorm_min(),
                    -L::denorm_min(),
                    L::min(),
                    T(0.5),
                    T(-0.5),
                    T(1.5),
                    T(2.5),
                    T(0.625),
                    T(88.5),
                    T(-87.5),
                    T(-103.9),
                    T(90),
                    T(709.5),
                    T(-745.2),
                    T(2147483520.0),
                    T(2147483648.0),
                    T(-2147483648.0),
                    T(-2147483904.0),
                    T(9223371487098961920.0),
                    T(9223372036854775808.0),
                    T(-9223372036854775808.0),
                    T(1e30),
                    T(8388607.5),
                    T(-8388608.5),
                    T(1e-30)})
      values.push_back(value);
  } else if constexpr (sizeof(T) == 8) {
    for (T value : {T(2147483647), T(2147483648), T(-2147483648), T(-2147483649), T(16777217),
                    T(9007199254740993), T(-9007199254740993), T(4611686018427387905)})
      values.push_back(value);
  } else {
    for (T value : {T(16777217), T(-16777219), T(65536), T(46341)}) values.push_back(value);
  }
  return values;
}

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace

std::vector<std::string> tested_isas() {
  const char* level = std::getenv("CALQUE_ISA");
  std::vector<std::string> result;
  for (const char* isa : {"avx2", "avx512"})
    if (machine_has(isa) && (!level || std::string(level) == isa)) result.push_back(isa);
  return result;
}

const CodegenPlugin& codegen_plugin() {
  static const CodegenPlugin plugin = [] {
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    void* library = dlopen((folder / "libcalque_cpu_codegen.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    INFO(dlerror());
    REQUIRE(library != nullptr);
    return CodegenPlugin{symbol<decltype(&calque_codegen_compile)>(library, "calque_codegen_compile"),
                         symbol<decltype(&calque_codegen_release)>(library, "calque_codegen_release"),
                         symbol<decltype(&calque_codegen_version)>(library, "calque_codegen_version")};
  }();
  return plugin;
}

calque_codegen_request codegen_request(const std::string& text, const std::string& isa) {
  static const std::string build_id = codegen_build_id();
  return {CALQUE_KERNEL_ABI_VERSION, build_id.c_str(), text.data(), text.size(), isa.c_str(), 0};
}

MappedImage::MappedImage(const std::string& text, const std::string& isa) {
  const calque_codegen_request request = codegen_request(text, isa);
  calque_codegen_result result;
  const int failed = codegen_plugin().compile(&request, &result);
  INFO(text);
  INFO((result.error ? result.error : ""));
  REQUIRE(failed == 0);
  map({result.image, result.image_bytes});
  codegen_plugin().release(&result);
}
MappedImage::MappedImage(std::span<const uint8_t> image) { map(image); }
MappedImage::~MappedImage() {
  if (base_) munmap(base_, whole_pages(bytes_));
}

void MappedImage::map(std::span<const uint8_t> image) {
  bytes_ = image.size();
  void* memory =
      mmap(nullptr, whole_pages(bytes_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  base_ = static_cast<uint8_t*>(memory);
  std::memcpy(base_, image.data(), bytes_);
  REQUIRE(mprotect(base_, whole_pages(bytes_), PROT_READ | PROT_EXEC) == 0);
}

uint32_t MappedImage::kernel_count() const {
  return reinterpret_cast<const calque_image_header*>(base_)->kernel_count;
}

bool MappedImage::takes_any_columns() const {
  return reinterpret_cast<const calque_image_entry*>(base_ + sizeof(calque_image_header))->any_columns == 1;
}

void MappedImage::run(uint32_t kernel, std::span<void* const> buffers, std::span<const int64_t> strides,
                      int64_t begin, int64_t end, int64_t other_end) const {
  const auto& entry =
      reinterpret_cast<const calque_image_entry*>(base_ + sizeof(calque_image_header))[kernel];
  const GuardedBytes scratch(whole_pages(entry.scratch_bytes));
  const auto code = reinterpret_cast<calque_kernel>(base_ + entry.code_offset);
  const int64_t columns = entry.any_columns && entry.part_columns ? other_end : static_cast<int64_t>(entry.part_columns);
  const int64_t first_part = columns == 0 ? other_end : std::min<int64_t>(columns, CALQUE_PART_COLUMNS);
  code(buffers.data(), strides.data(), begin, end, 0, first_part, scratch.data());
  if (first_part < columns)
    code(buffers.data(), strides.data(), begin, end, first_part, columns, scratch.data());
}

GuardedBytes::GuardedBytes(size_t bytes) : mapped_(whole_pages(bytes) + kPage) {
  void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  base_ = static_cast<uint8_t*>(memory);
  REQUIRE(mprotect(base_ + mapped_ - kPage, kPage, PROT_NONE) == 0);
  data_ = base_ + mapped_ - kPage - bytes;
}
GuardedBytes::~GuardedBytes() {
  if (base_) munmap(base_, mapped_);
}
GuardedBytes::GuardedBytes(GuardedBytes&& other) noexcept
    : data_(other.data_), base_(std::exchange(other.base_, nullptr)), mapped_(other.mapped_) {}

std::vector<Literal> run_generated(const MappedImage& image, const Graph& graph,
                                   std::span<const Literal> inputs, const RunOptions& options) {
  const Node& fusion = graph.nodes().back();
  std::vector<Type> types;
  for (const Literal& input : inputs) types.push_back(input.type);
  for (uint32_t i = 0; i < fusion.result_count; ++i) types.push_back(graph.type(fusion.result(i)));
  std::vector<GuardedBytes> memory;
  std::vector<void*> buffers;
  std::vector<int64_t> strides;
  for (size_t i = 0; i < types.size(); ++i) {
    const RowLayout layout = layout_of(types[i], fusion, options.row_gap);
    strides.push_back(layout.stride);
    if (i == inputs.size() && options.in_place_input >= 0) {
      buffers.push_back(buffers[options.in_place_input]);
      continue;
    }
    memory.emplace_back(bytes_of(layout));
    buffers.push_back(memory.back().data());
    for (int64_t r = 0; i < inputs.size() && r < layout.rows; ++r)
      std::copy_n(inputs[i].bytes.data() + r * layout.row_bytes, layout.row_bytes,
                  reinterpret_cast<std::byte*>(memory.back().data()) + r * layout.stride);
  }
  const bool by_rows = fusion.attributes[0] == static_cast<int64_t>(Domain::rows);
  const int64_t extent = by_rows ? fusion.attributes[1] : fusion.attributes[2];
  const int64_t other_end = by_rows ? fusion.attributes[2] : fusion.attributes[1];
  int64_t begin = 0;
  for (int64_t split : options.splits) {
    const int64_t end = std::min(split, extent);
    image.run(0, buffers, strides, begin, end, other_end);
    begin = end;
  }
  image.run(0, buffers, strides, begin, extent, other_end);
  std::vector<Literal> results;
  for (size_t i = inputs.size(); i < types.size(); ++i) {
    const RowLayout layout = layout_of(types[i], fusion, options.row_gap);
    results.emplace_back(types[i]);
    for (int64_t r = 0; r < layout.rows; ++r)
      std::copy_n(static_cast<const std::byte*>(buffers[i]) + r * layout.stride, layout.row_bytes,
                  results.back().bytes.data() + r * layout.row_bytes);
  }
  return results;
}

Literal plain_sample(const Type& type, uint64_t seed) {
  Literal literal(type);
  std::mt19937_64 random(seed);
  with_element_type(type.dtype, [&]<class T>(T) {
    for (T& element : literal.as<T>()) {
      if constexpr (std::is_same_v<T, bool>)
        element = random() & 1;
      else if constexpr (std::is_floating_point_v<T>)
        element = std::normal_distribution<T>()(random);
      else
        element = static_cast<T>(random() % 2001) - 1000;
    }
  });
  return literal;
}

Literal sample(const Type& type, uint64_t seed) {
  Literal literal = plain_sample(type, seed);
  std::mt19937_64 random(seed + 1);
  with_element_type(type.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) {
      const std::vector<T> special = kernel_values<T>();
      for (size_t i = 0; i < literal.as<T>().size(); ++i) {
        T& element = literal.as<T>()[i];
        const uint64_t kind = random() % 4;
        if (kind == 0) element = special[random() % special.size()];
        if (kind == 1) {
          const uint64_t word = random();
          std::memcpy(&element, &word, sizeof element);  // any bits
        }
      }
    }
  });
  return literal;
}

std::string difference(const Literal& expected, const Literal& actual) {
  if (expected.type != actual.type) return to_string(expected.type) + " against " + to_string(actual.type);
  return with_element_type(expected.type.dtype, [&]<class T>(T) -> std::string {
    for (int64_t i = 0; i < expected.size(); ++i) {
      const T e = expected.as<T>()[i], a = actual.as<T>()[i];
      if (!same(e, a))
        return fmt::format("element {} of {}: expected {}, got {}", i, to_string(expected.type), e, a);
    }
    return "";
  });
}

static Literal literal_of(const KernelConstant& constant) {
  Literal literal(Type{constant.dtype, {}});
  const uint64_t bits = constant.bits();
  std::memcpy(literal.bytes.data(), &bits, literal.bytes.size());
  return literal;
}

void check_against_interpreter(const std::string& text, const RunOptions& options) {
  const Graph graph = parse(text);
  std::vector<Literal> inputs;
  for (ValueId input : graph.inputs()) inputs.push_back(sample(graph.type(input), 100 + inputs.size()));
  check_against_interpreter(text, inputs, options);
}

void check_against_interpreter(const std::string& text, std::span<const Literal> inputs,
                               const RunOptions& options) {
  const Graph graph = parse(text);
  const std::vector<Literal> expected = interpret(graph, inputs);
  const auto check = [&](const std::string& kernel, std::span<const Literal> operands) {
    for (const std::string& isa : tested_isas()) {
      const MappedImage image(kernel, isa);
      if (kernel != text) CHECK(image.takes_any_columns());
      const std::vector<Literal> actual = run_generated(image, graph, operands, options);
      for (size_t i = 0; i < expected.size(); ++i) {
        const std::string found = difference(expected[i], actual[i]);
        INFO(text);
        INFO(kernel);
        INFO("isa " << isa << ", result " << i << ": " << found);
        CHECK(found.empty());
      }
    }
  };
  check(text, inputs);
  const Node& fusion = graph.nodes().back();
  const KernelText any = kernel_text(fusion, RowLength::any);
  if (any.length == RowLength::own) return;
  std::vector<Literal> operands(inputs.begin(), inputs.end());
  for (const KernelConstant& constant : any.constants) operands.push_back(literal_of(constant));
  check(any.text, operands);
}

std::string to_text(const FusionText& fusion) {
  std::string declared, given, inner, result_types, outputs;
  const auto join = [](std::string& list, const std::string& item) {
    list += (list.empty() ? "" : ", ") + item;
  };
  for (size_t i = 0; i < fusion.inputs.size(); ++i) {
    join(declared, fmt::format("%x{}: {}", i, to_string(fusion.inputs[i])));
    join(given, fmt::format("%x{}", i));
  }
  for (size_t i = 0; i < fusion.results.size(); ++i) {
    join(result_types, to_string(fusion.results[i]));
    join(outputs, fusion.results.size() == 1 ? "%0" : fmt::format("%0.{}", i));
  }
  const std::string types = fusion.results.size() == 1 ? result_types : "(" + result_types + ")";
  return fmt::format(
      "graph @test({0}) -> ({1}) {{\n  %0 = fusion {2} {{domain = {3}, rows = {4}, columns = {5}}} : {6} "
      "({0}) {{\n    {7}\n"
      "  }}\n  return {8}\n}}\n",
      declared, result_types, given, static_cast<int>(fusion.domain), fusion.rows, fusion.columns, types,
      fusion.block, outputs);
}

}  // namespace calque::test
