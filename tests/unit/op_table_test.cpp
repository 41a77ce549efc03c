// The op table: every row is named, documented and specified as its parts say.
#include <catch2/catch.hpp>

#include <bit>
#include <limits>
#include <set>
#include <string>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/op/op.h"

using namespace calque;

TEST_CASE("every row has a unique name that leads back to it", "[op]") {
  std::set<std::string> names;
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    INFO(row(op).name);
    CHECK(op_named(row(op).name) == op);
    CHECK(names.insert(row(op).name).second);
  }
  CHECK_FALSE(op_named("no_such_op"));
  CHECK_FALSE(op_named(""));
}

TEST_CASE("every row says what it does", "[op]") {
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    INFO(entry.name);
    REQUIRE(entry.documentation != nullptr);
    CHECK(std::string(entry.documentation).size() >= 2);
  }
}

TEST_CASE("every row has the rules that its kind needs", "[op]") {
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    INFO(entry.name);
    const bool composite = entry.kind == OpKind::composite;
    const bool from_signature = entry.signature != Signature::none;
    CHECK((entry.body != nullptr) == composite);
    CHECK((entry.infer != nullptr) == (!composite && !from_signature));
    CHECK((entry.gradient != nullptr) == (!composite && !entry.ir_only));
  }
}

TEST_CASE("specifications have unique names, and a list comes last", "[op]") {
  for (int i = 0; i < kOpCount; ++i) {
    const OpRow& entry = row(static_cast<Op>(i));
    std::set<std::string> names;
    for (size_t k = 0; k < entry.attributes.size(); ++k) {
      INFO(entry.name << " " << entry.attributes[k].name);
      CHECK(names.insert(entry.attributes[k].name).second);
      CHECK((entry.attributes[k].kind != AttributeKind::integers || k + 1 == entry.attributes.size()));
    }
    CHECK(names.size() <= static_cast<size_t>(Attributes::kMaxWords));
  }
}

TEST_CASE("numbers print so that they parse back to the same bits", "[op]") {
  const std::pair<double, const char*> cases[] = {
      {0.5, "0.5"},
      {-0.0, "-0"},
      {1e-5, "1e-05"},
      {0.1, "0.1"},
      {1e300, "1e+300"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::infinity(), "inf"},
      {-std::numeric_limits<double>::infinity(), "-inf"},
      {std::numeric_limits<double>::quiet_NaN(), "nan"},
      {-std::numeric_limits<double>::quiet_NaN(), "nan(0xfff8000000000000)"}};
  for (const auto& [value, text] : cases) {
    INFO(text);
    CHECK(print_number(value) == text);
    const std::string source = std::string("graph @n() -> f64[] {\n  %0 = full {value = ") + text +
                               ", dtype = f64, shape = []} : f64[]\n  return %0\n}\n";
    const Graph graph = parse(source);
    CHECK(graph.node(0).attributes[0] == std::bit_cast<int64_t>(value));
    CHECK(print(graph) == source);
  }
}
