// Writes the cases of every op, what they give and their gradients to a folder, for judges outside of C++: scripts/judge_ops.py runs
// this by its tag, with CALQUE_JUDGE_FOLDER set.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "calque/autograd.h"
#include "runtime/dispatch.h"
#include "tests/support/op_cases.h"

using namespace calque;
using namespace calque::test;

namespace {

std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{}", value);
}

/// Appends the elements in row-major order to `data`, and says where they lie.
std::string written(const Tensor& tensor, std::ofstream& data) {
  const Literal literal = to_literal(tensor);
  const auto offset = static_cast<int64_t>(data.tellp());
  data.write(reinterpret_cast<const char*>(literal.bytes.data()), static_cast<std::streamsize>(literal.bytes.size()));
  return fmt::format(R"({{"dtype": "{}", "offset": {}, "shape": [{}]}})", name(literal.type.dtype), offset,
                     fmt::join(literal.type.shape.dims(), ", "));
}

std::string attribute_text(const OpCase& c, AttributeKind kind, int word) {
  switch (kind) {
    case AttributeKind::integer: return fmt::format("{}", c.attributes[word]);
    case AttributeKind::boolean: return c.attributes.flag(word) ? "true" : "false";
    case AttributeKind::number: return json_number(c.attributes.number(word));
    case AttributeKind::dtype: return fmt::format("\"{}\"", name(c.attributes.dtype(word)));
    case AttributeKind::integers: return fmt::format("[{}]", fmt::join(c.attributes.list(word), ", "));
  }
  return "null";
}

std::string attributes_text(const OpCase& c) {
  std::vector<std::string> parts;
  for (const AttributeSpec& spec : row(c.op).attributes)
    parts.push_back(fmt::format("\"{}\": {}", spec.name, attribute_text(c, spec.kind, static_cast<int>(parts.size()))));
  return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string all_written(const std::vector<Tensor>& tensors, std::ofstream& data) {
  std::vector<std::string> parts;
  for (const Tensor& tensor : tensors) parts.push_back(written(tensor, data));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

struct Gradients {
  std::vector<Tensor> seeds, gradients;
};

/// What the floats among the inputs get when each result gets a seed; nothing where no gradient flows, nor for special values.
Gradients gradients_of(const OpCase& c) {
  if (c.aspect == Aspect::special) return {};
  std::vector<Tensor> inputs = c.inputs, leaves;
  for (Tensor& input : inputs)
    if (is_floating(input.dtype())) leaves.push_back((input = input.detach()).set_requires_grad());
  const std::vector<Tensor> results = run_op(c.op, inputs, c.attributes);
  if (!results[0].requires_grad()) return {};
  Gradients found;
  for (size_t i = 0; i < results.size(); ++i) found.seeds.push_back(ordinary_tensor({results[i].dtype(), results[i].shape()}, 91 + i));
  found.gradients = grad(results, leaves, {.output_gradients = found.seeds});
  return found;
}

}  // namespace

TEST_CASE("the cases of every op, for judges", "[.judge]") {
  const char* folder = std::getenv("CALQUE_JUDGE_FOLDER");
  REQUIRE(folder != nullptr);
  std::ofstream data(std::string(folder) + "/data.bin", std::ios::binary), list(std::string(folder) + "/cases.jsonl");
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (row(op).ir_only) continue;
    for (const OpCase& c : op_cases(op)) {
      const std::string inputs = all_written(c.inputs, data), results = all_written(run_op(c.op, c.inputs, c.attributes), data);
      const Gradients back = gradients_of(c);
      const std::string seeds = all_written(back.seeds, data), gradients = all_written(back.gradients, data);
      list << fmt::format(
                  R"({{"op": "{}", "elementwise": {}, "aspect": "{}", "attributes": {}, "inputs": {}, "results": {}, "seeds": {}, "gradients": {}}})",
                  row(op).name, row(op).signature != Signature::none, kAspectNames[static_cast<int>(c.aspect)], attributes_text(c), inputs,
                  results, seeds, gradients)
           << "\n";
    }
  }
  REQUIRE(data.good());
  REQUIRE(list.good());
}
