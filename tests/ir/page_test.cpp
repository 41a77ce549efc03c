// docs/ir.md, the reference of the language: its tables are made from those of the sources, its examples are graphs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <set>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "ir/op/reduction.h"
#include "tests/support/document.h"

using namespace calque;

namespace {

constexpr const char* kPage = "docs/ir.md";

std::string text_of_page() {
  std::stringstream text;
  text << std::ifstream(kPage).rdbuf();
  return text.str();
}

std::string dtypes_table() {
  std::string text = "| dtype | bytes | elements |\n| --- | --- | --- |\n";
  for (DType dtype : kAllDTypes)
    text += fmt::format("| `{}` | {} | {} |\n", name(dtype), size_of(dtype),
                        is_floating(dtype) ? "floating-point numbers" : is_integer(dtype) ? "signed integers" : "true or false");
  return text;
}

/// What a kind is called, and an example.
std::pair<std::string, std::string> description(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::integer: return {"an integer of 64 bits", "`-3`"};
    case AttributeKind::boolean: return {"a truth value", "`true`, `false`"};
    case AttributeKind::number: return {"a real", fmt::format("`{}`, `{}`", print_number(0.5), print_number(-INFINITY))};
    case AttributeKind::dtype: return {"a dtype", fmt::format("`{}`", name(DType::f32))};
    case AttributeKind::integers: return {"a list of integers", "`[]`, `[2, 3]`"};
  }
  return {};
}

std::string attributes_table() {
  std::map<AttributeKind, std::vector<std::string>> names;
  for (const OpRow& entry : kOpRows)
    for (const AttributeSpec& spec : entry.attributes) {
      std::vector<std::string>& list = names[spec.kind];
      const std::string word = fmt::format("`{}`", spec.name);
      if (std::ranges::find(list, word) == list.end()) list.push_back(word);
    }
  std::string text = "| kind | as written | attributes of this kind |\n| --- | --- | --- |\n";
  for (const auto& [kind, list] : names) {
    const auto [what, example] = description(kind);
    text += fmt::format("| {} | {} | {} |\n", what, example, fmt::join(list, ", "));
  }
  return text;
}

std::string numbers_table() {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::pair<const char*, double> numbers[] = {{"one", 1},
                                                    {"one tenth", 0.1},
                                                    {"minus zero", -0.0},
                                                    {"two to the power 70", std::ldexp(1.0, 70)},
                                                    {"the smallest subnormal", 5e-324},
                                                    {"the infinities", INFINITY},
                                                    {"", -INFINITY},
                                                    {"NaN", nan},
                                                    {"a NaN with other bits", std::bit_cast<double>(uint64_t{0xfff8000000000000})}};
  std::string text = "| number | text |\n| --- | --- |\n";
  for (const auto& [what, number] : numbers) text += fmt::format("| {} | `{}` |\n", what, print_number(number));
  return text;
}

std::string ir_only_table() {
  std::string text = "| op | block | attributes | meaning |\n| --- | --- | --- | --- |\n";
  for (const OpRow& entry : kOpRows) {
    if (!entry.ir_only) continue;
    std::vector<std::string> attributes;
    for (const AttributeSpec& spec : entry.attributes) attributes.push_back(fmt::format("`{}`", spec.name));
    const bool has_block = entry.kind == OpKind::fusion || entry.kind == OpKind::loop;
    text += fmt::format("| `{}` | {} | {} | {} |\n", entry.name, has_block ? "yes" : "", fmt::join(attributes, ", "),
                        entry.documentation);
  }
  return text;
}

std::string limits_table() {
  return fmt::format(
      "| limit | |\n| --- | --- |\n"
      "| axes of a type | {} |\n| words of all attributes of a node, each integer of a list one | {} |\n| blocks inside one another | {} |\n"
      "| columns that a fusion by rows reduces: one block of the reduction tree | {} |\n| rows of a fusion by columns | {} |\n",
      kMaxRank, Attributes::kMaxWords, kMostNesting, reduction::kBlock, reduction::kOuterBlock);
}

/// What parser and verifier say; empty when they have nothing to say.
std::string refusal_of(const std::string& text) {
  try {
    verify(parse(text));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string errors_table() {
  const char* const wrong[] = {
      "graph @g(%x: f16[2]) -> () { return }",
      "graph @g(%x: f32[2]) -> f32[2] { %1 = exp %x : f32[2] return %1 }",
      "graph @g(%x: f32[2]) -> f32[3] { %0 = exp %x : f32[3] return %0 }",
      "graph @g(%x: f32[2], %y: f32[3]) -> f32[2] { %0 = add %x, %y : f32[2] return %0 }",
      "graph @g(%x: f32[2]) -> f32[] { %0 = sum %x {axes = [0]} : f32[] return %0 }",
      "graph @g(%x: f32[4]) -> f32[4] { %0 = fusion %x {domain = 0, rows = 2, columns = 4} : f32[4] (%y: f32[4]) { return %y } return %0 }",
  };
  std::string text = "| text | error |\n| --- | --- |\n";
  for (const char* graph : wrong) {
    INFO(graph);
    CHECK_FALSE(refusal_of(graph).empty());
    text += fmt::format("| `{}` | {} |\n", graph, refusal_of(graph));
  }
  return text;
}

const std::map<std::string, std::string (*)()> kTables = {{"dtypes", dtypes_table},   {"attributes", attributes_table},
                                                          {"numbers", numbers_table}, {"ir_only", ir_only_table},
                                                          {"limits", limits_table},   {"errors", errors_table}};

/// The page with every table made anew.
std::string remade(const std::string& page) {
  const std::regex made(R"(<!-- made: (\w+) -->\n([^<]*)<!-- end -->)");
  std::string result;
  std::set<std::string> seen;
  auto rest = page.cbegin();
  for (std::sregex_iterator match(page.begin(), page.end(), made), end; match != end; ++match) {
    const std::string table = (*match)[1];
    REQUIRE(kTables.contains(table));
    seen.insert(table);
    result += std::string(rest, (*match)[0].first) + fmt::format("<!-- made: {} -->\n{}<!-- end -->", table, kTables.at(table)());
    rest = (*match)[0].second;
  }
  CHECK(seen.size() == kTables.size());
  return result + std::string(rest, page.cend());
}

std::string without_comments(const std::string& text) { return std::regex_replace(text, std::regex(R"(  //[^\n]*)"), ""); }

}  // namespace

TEST_CASE("the tables of docs/ir.md are made from those of the sources", "[page]") { check_document(kPage, remade(text_of_page())); }

TEST_CASE("every example of docs/ir.md is a graph, and printed as it stands there", "[page]") {
  const std::string page = text_of_page();
  const std::regex example("```cq( free)?\n([^`]*)```");
  std::set<Op> with_block;
  int count = 0;
  for (std::sregex_iterator match(page.begin(), page.end(), example), end; match != end; ++match, ++count) {
    const std::string text = (*match)[2];
    INFO(text);
    const Graph graph = parse(text);
    CHECK_NOTHROW(verify(graph));
    CHECK(equal(parse(print(graph)), graph));
    if (!(*match)[1].matched) CHECK(print(graph) == without_comments(text));
    for (const Node& node : graph.nodes())
      if (node.body) with_block.insert(node.op);
  }
  CHECK(count >= 8);
  CHECK(with_block == std::set<Op>{Op::fusion, Op::loop});
}

TEST_CASE("what docs/ir.md prints in another way is the graph before it", "[page]") {
  const std::string page = text_of_page();
  const std::regex pair("```cq free\n([^`]*)```[^`]*```cq\n([^`]*)```");
  std::smatch match;
  REQUIRE(std::regex_search(page, match, pair));
  CHECK(print(parse(match[1].str())) == match[2].str());
}
