// Text and back: what is printed parses to the same graph; what is malformed is refused with a place.
#include <catch2/catch.hpp>

#include <random>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "tests/ir/samples.h"

using namespace calque;
using namespace calque::test;
using Catch::Matchers::Contains;

TEST_CASE("every op prints, parses and prints the same", "[text]") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    INFO(row(op).name);
    const std::vector<Graph> samples = sample_graphs(op);
    REQUIRE_FALSE(samples.empty());
    for (const Graph& graph : samples) {
      CHECK_NOTHROW(verify(graph));
      CHECK(std::ranges::any_of(graph.nodes(), [&](const Node& node) { return node.op == op; }));
      const std::string text = print(graph);
      INFO(text);
      const Graph again = parse(text);
      CHECK(print(again) == text);
      CHECK(equal(again, graph));
    }
  }
}

TEST_CASE("a graph with every feature keeps its text", "[text]") {
  const Graph graph = parse(kCellText);
  CHECK(print(graph) == kCellText);
  CHECK_NOTHROW(verify(graph));
  CHECK(graph.node(4).body->nodes().size() == 2);
  CHECK(graph.input_name(2) == "b");
}

TEST_CASE("inputs added late keep the graph equal to its text", "[text]") {
  Graph graph("late");
  const ValueId x = graph.add_input({DType::f32, {2}});
  const ValueId inputs[] = {graph.add(Op::exp, std::array{x}).result(), graph.add_input({DType::f32, {2}})};
  graph.set_outputs({graph.add(Op::add, inputs).result()});
  CHECK_NOTHROW(verify(graph));
  CHECK(equal(parse(print(graph)), graph));
  CHECK(print(parse(print(graph))) == print(graph));
}

TEST_CASE("comments, spaces and normalised attributes", "[text]") {
  const Graph graph = parse(
      "// first\n graph@g ( %x :f32[ 4 , 2 ])->(f32[4,1]){ // open\n"
      "%0=sum %x{keepdim=true,axes=[-1]}:f32[4,1]//close\nreturn %0}\n// last");
  CHECK(print(graph) ==
        "graph @g(%x: f32[4,2]) -> f32[4,1] {\n"
        "  %0 = sum %x {keepdim = true, axes = [1]} : f32[4,1]\n  return %0\n}\n");
}

TEST_CASE("locations print as comments", "[text]") {
  Graph graph("g");
  static const int place = 0;
  const ValueId x = graph.add_input({DType::f32, {}}, "x");
  graph.set_outputs({graph.add(Op::neg, std::array{x}, {}, &place).result()});
  GraphPrintOptions options;
  options.location = [](const void* location) { return location == &place ? "cell.cpp:14" : "?"; };
  const std::string text = print(graph, options);
  CHECK_THAT(text, Contains("%0 = neg %x : f32[]  // cell.cpp:14\n"));
  CHECK(equal(parse(text), graph));
  CHECK(print(graph).find("//") == std::string::npos);
}

TEST_CASE("graphs that differ in one thing are not equal", "[text]") {
  const std::string base =
      "graph @g(%x: f32[2,2]) -> f32[2,2] { %0 = exp %x : f32[2,2] %1 = neg %0 : f32[2,2] return %1 }";
  const Graph graph = parse(base);
  const std::pair<const char*, const char*> edits[] = {
      {"@g", "@h"}, {"%x: ", "%y: "}, {"neg %0", "neg %x"}, {"exp", "log"}, {"return %1", "return %0"}};
  for (const auto& [from, to] : edits) {
    std::string text = base;
    text.replace(text.find(from), std::string(from).size(), to);
    if (std::string(to) == "%y: ") text.replace(text.find("exp %x"), 6, "exp %y");
    INFO(text);
    CHECK_FALSE(equal(parse(text), graph));
  }
  const std::string fused = kCellText;
  std::string other = fused;
  other.replace(other.find("tanh"), 4, "relu");
  CHECK(equal(parse(fused), parse(fused)));
  CHECK_FALSE(equal(parse(fused), parse(other)));
}

TEST_CASE("malformed text is refused with line, column and a sentence", "[text]") {
  const std::string g = "graph @g(%x: f32[2,3]) -> f32[2,3] {\n  ";
  const std::pair<std::string, const char*> cases[] = {
      {"", "1:1: expected `graph"},
      {"grap @g() -> () { return }", "1:1: expected `graph"},
      {"graph g() -> () { return }", "1:7: expected `@`"},
      {"graph @1() -> () { return }", "1:8: expected the name of the graph"},
      {"graph @g(%1: f32[]) -> () { return }", "1:10: the name of an input starts with a letter"},
      {"graph @g(%x: f32[], %x: f32[]) -> () { return }", "1:21: input %x is named twice"},
      {"graph @g(%x: f16[]) -> () { return }", "1:14: expected a type"},
      {"graph @g(%x: f32) -> () { return }", "1:17: expected `[`"},
      {"graph @g(%x: f32[-1]) -> () { return }", "1:14: shape: size -1 is negative"},
      {"graph @g(%x: f32[1,1,1,1,1,1,1]) -> () { return }", "1:14: shape: rank 7"},
      {"graph @g(%x: f32[1,1,1,1,1,1,1,1,1,1,1]) -> () { return }", "1:17: the list is longer"},
      {"graph @g(%x: f32[4294967296,4294967296]) -> () { return }", "1:14: shape:"},
      {"graph @g(%x: f32[99999999999999999999]) -> () { return }", "1:18: an integer is beyond 64 bits"},
      {"graph @g(%x: f32[2) -> () { return }", "1:19: expected `]`"},
      {"graph @g() -> () {", "1:19: expected a node"},
      {"graph @g() -> () { return } x", "1:29: expected the end"},
      {"graph @g() -> f32[] { return }", "1:15: the graph returns ()"},
      {g + "return %y\n}", "2:10: %y is not defined"},
      {g + "return %0\n}", "2:10: %0 is not defined"},
      {g + "return %00\n}", "2:10: %00 is not defined"},
      {g + "%1 = exp %x : f32[2,3] return %1 }", "2:3: nodes are numbered in order: expected %0"},
      {g + "%0 = exp %0 : f32[2,3] return %0 }", "2:12: %0 is not defined"},
      {g + "%0 = frob %x : f32[2,3] return %0 }", "2:8: there is no op `frob`"},
      {g + "%0 = exp %x : f32[2,4] return %0 }", "2:17: the shape rule gives (f32[2,3])"},
      {g + "%0 = exp %x : (f32[2,3], f32[2,3]) return %0.0 }", "2:17: the shape rule gives (f32[2,3])"},
      {g + "%0 = exp %x, %x : f32[2,3] return %0 }", "2:8: exp: takes 1 inputs, got 2"},
      {g + "%0 = exp %x f32[2,3] return %0 }", "2:15: expected `:`"},
      {g + "%0 = sum %x : f32[2,3] return %0 }", "2:15: expected `{`"},
      {g + "%0 = sum %x {axes = [1], keepdim = true} : f32[2,1] return %0 }",
       "2:16: expected attribute `keepdim`"},
      {g + "%0 = sum %x {keepdim = 1, axes = []} : f32[] return %0 }", "2:26: expected true or false"},
      {g + "%0 = sum %x {keepdim = true, axes = [2]} : f32[2,1] return %0 }",
       "2:8: sum: axis 2 is out of range"},
      {g + "%0 = sum %x {keepdim = true, axes = [0,0,0,0,0,0,0,0]} : f32[2,1] return %0 }",
       "2:39: too many attributes"},
      {g + "%0 = cast %x {dtype = f8} : f32[2,3] return %0 }", "2:25: expected a dtype"},
      {g + "%0 = full {value = 1e999, dtype = f32, shape = []} : f32[] return %0 }",
       "2:22: expected a number"},
      {g + "%0 = full {value = x, dtype = f32, shape = []} : f32[] return %0 }", "2:22: expected a number"},
      {g + "%0 = full {value = nan(0x1), dtype = f32, shape = []} : f32[] return %0 }",
       "2:22: these are not the bits"},
      {g + "%0 = split %x {parts = 3, axis = 1} : (f32[2,1], f32[2,1], f32[2,1]) return %0 }",
       "2:79: %0 has several results"},
      {g + "%0 = split %x {parts = 3, axis = 1} : (f32[2,1], f32[2,1], f32[2,1]) return %0.3 }",
       "2:79: %0 has 3 results"},
      {g + "%0 = split %x {parts = 9999999, axis = 1} : f32[2,1] return %0 }", "2:8: split: axis 1"},
      {g + "%0 = pad %x {axis = 0, before = 9223372036854775807, after = 9223372036854775807} : f32[2,3] "
           "return %0 }",
       "2:8: pad:"},
      {g + "%0 = reshape %x {shape = [4294967296, 4294967296, -1]} : f32[2,3] return %0 }", "2:8: shape:"},
      {g + "%0 = fusion %x {domain = 0, rows = 1, columns = 6} : f32[2,3] return %0 }", "2:65: expected `(`"},
      {std::string("graph @g() -> () { \0return }", 27), "1:20: expected a node"},
  };
  for (const auto& [text, message] : cases) {
    INFO(text);
    CHECK_THROWS_AS(parse(text), UserError);
    CHECK_THROWS_WITH(parse(text), Catch::Matchers::StartsWith(message));
  }
}

TEST_CASE("shapes that overflow only together are refused", "[text]") {
  const std::string text =
      "graph @g(%x: f32[1099511627776,1], %y: f32[1,1099511627776]) -> () {\n"
      "  %0 = add %x, %y : f32[1] return }";
  CHECK_THROWS_WITH(parse(text), Contains("too many elements"));
  std::string concat = "graph @g(%x: f32[576460752303423488]) -> () { %0 = concat ";
  for (int i = 0; i < 20; ++i) concat += i ? ", %x" : "%x";
  CHECK_THROWS_AS(parse(concat + " {axis = 0} : f32[1] return }"), UserError);
}

TEST_CASE("blocks do not nest without bound", "[text]") {
  std::string text = "graph @g() -> () { ";
  for (int i = 0; i < 100000; ++i) text += "%0 = fusion {domain = 0, rows = 1, columns = 1} : () () { ";
  CHECK_THROWS_WITH(parse(text), Contains("nested too deeply"));
}

// Flips, drops and repeats bytes of valid texts: each must parse or be refused, and what parses must print
// and verify or be refused there.
TEST_CASE("mutated text never crashes the parser", "[text]") {
  std::mt19937 random(20240607);
  std::vector<std::string> seeds{kCellText};
  for (int i = 0; i < kOpCount; ++i)
    for (const Graph& graph : sample_graphs(static_cast<Op>(i))) seeds.push_back(print(graph));
  const std::string alphabet = "%@{}()[],:.=-+>0123456789abcfinprtx_ \n/\0\xff";
  int parsed = 0, refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = seeds[random() % seeds.size()];
    for (unsigned edit = 0, edits = 1 + random() % 4; edit < edits; ++edit) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text[at] ^= static_cast<char>(1 << random() % 8);
          break;
        case 2:
          text.erase(at, 1 + random() % 8);
          break;
        case 3:
          text.insert(at, text.substr(random() % text.size(), 1 + random() % 16));
          break;
      }
      if (text.empty()) text = " ";
    }
    try {
      const Graph graph = parse(text);
      ++parsed;
      const std::string printed = print(graph);
      if (print(parse(printed)) != printed) FAIL("does not print the same again:\n" << text);
      try {
        verify(graph);
      } catch (const InternalError&) {
      }
    } catch (const UserError&) {
      ++refused;
    }
  }
  CHECK(parsed > 100);
  CHECK(refused > 10000);
}
