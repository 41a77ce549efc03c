// Writes the cases of every op and what they give to a folder, for judges outside of C++: scripts/judge_ops.py runs this by its
// tag, with CALQUE_JUDGE_FOLDER set.
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

#include <nlohmann/json.hpp>

#include "runtime/dispatch.h"
#include "tests/support/op_cases.h"

using namespace calque;
using namespace calque::test;

namespace {

/// Appends the elements in row-major order to `data`, and says where they lie.
nlohmann::json written(const Tensor& tensor, std::ofstream& data) {
  const Literal literal = to_literal(tensor);
  nlohmann::json json{{"dtype", name(literal.type.dtype)}, {"offset", static_cast<int64_t>(data.tellp())}};
  json["shape"] = std::vector<int64_t>(literal.type.shape.begin(), literal.type.shape.end());
  data.write(reinterpret_cast<const char*>(literal.bytes.data()), static_cast<std::streamsize>(literal.bytes.size()));
  return json;
}

nlohmann::json attributes_of(const OpCase& c) {
  nlohmann::json json = nlohmann::json::object();
  int word = 0;
  for (const AttributeSpec& spec : row(c.op).attributes) {
    switch (spec.kind) {
      case AttributeKind::integer: json[spec.name] = c.attributes[word++]; break;
      case AttributeKind::boolean: json[spec.name] = c.attributes.flag(word++); break;
      case AttributeKind::number: json[spec.name] = c.attributes.number(word++); break;
      case AttributeKind::dtype: json[spec.name] = name(c.attributes.dtype(word++)); break;
      case AttributeKind::integers: {
        const std::span<const int64_t> list = c.attributes.list(word);
        json[spec.name] = std::vector<int64_t>(list.begin(), list.end());
      }
    }
  }
  return json;
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
      nlohmann::json json{{"op", row(op).name}, {"aspect", kAspectNames[static_cast<int>(c.aspect)]}};
      json["attributes"] = attributes_of(c);
      for (const Tensor& input : c.inputs) json["inputs"].push_back(written(input, data));
      for (const Tensor& result : run_op(c.op, c.inputs, c.attributes)) json["results"].push_back(written(result, data));
      list << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    }
  }
  REQUIRE(data.good());
  REQUIRE(list.good());
}
