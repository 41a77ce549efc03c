// The verifier accepts what the language allows and refuses one violation of each of its rules.
#include <catch2/catch.hpp>

#include "ir/graph/parser.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "tests/ir/samples.h"

using namespace calque;
using Catch::Matchers::Contains;

namespace {

// A graph checks what is added to it, so broken ones are made behind its back: an explicit instantiation may
// name private members.
std::vector<Node>& nodes_of(Graph& graph);
template <std::vector<Node> Graph::*member>
struct Access {
  friend std::vector<Node>& nodes_of(Graph& graph) { return graph.*member; }
};
template struct Access<&Graph::nodes_>;

const Type kMatrix{DType::f32, {2, 3}};

/// exp of the input, then neg of that.
Graph two_nodes() {
  Graph graph("g");
  const ValueId x = graph.add_input(kMatrix, "x");
  const ValueId y = graph.add(Op::exp, std::array{x}).result();
  graph.set_outputs({graph.add(Op::neg, std::array{y}).result()});
  return graph;
}

void check_refused(const Graph& graph, const char* rule) {
  CHECK_THROWS_AS(verify(graph), InternalError);
  CHECK_THROWS_WITH(verify(graph), Contains(rule));
}

/// A fusion of f32[4,6] operands; the attributes and the block are text.
Graph fused(const std::string& attributes, const std::string& type, const std::string& block) {
  return parse("graph @g(%a: f32[4,6]) -> () {\n%0 = fusion %a {" + attributes + "} : " + type +
               " (%x: f32[4,6]) {" + block + "} return }");
}
const std::string kFlat = "domain = 0, rows = 1, columns = 24";
const std::string kRows = "domain = 1, rows = 4, columns = 6";
const std::string kColumns = "domain = 2, rows = 4, columns = 6";

}  // namespace

TEST_CASE("names are identifiers, inputs unique", "[verifier]") {
  Graph graph = two_nodes();
  verify(graph);
  graph.set_name("two words");
  check_refused(graph, "the name of the graph is not an identifier");
  Graph bad_input("g");
  bad_input.add_input(kMatrix, "2x");
  check_refused(bad_input, "the name of an input is not an identifier");
  Graph twice("g");
  twice.add_input(kMatrix, "x");
  twice.add_input(kMatrix, "x");
  check_refused(twice, "two inputs have this name");
}

TEST_CASE("operands and outputs exist, in order", "[verifier]") {
  Graph graph = two_nodes();
  graph.set_outputs({7});
  check_refused(graph, "an output does not exist");
  Graph forward = two_nodes();
  nodes_of(forward)[0].inputs[0] = 2;
  check_refused(forward, "an operand is not defined before it is used");
  Graph self = two_nodes();
  nodes_of(self)[1].inputs[0] = 2;
  check_refused(self, "an operand is not defined before it is used");
  Graph beyond = two_nodes();
  nodes_of(beyond)[1].inputs[0] = 99;
  check_refused(beyond, "an operand is not defined before it is used");
}

TEST_CASE("every value has its one place", "[verifier]") {
  Graph graph = two_nodes();
  nodes_of(graph)[1].first_result = 1;
  check_refused(graph, "does not name this node as its producer");
  Graph orphan = two_nodes();
  nodes_of(orphan)[1].result_count = 0;
  check_refused(orphan, "neither an input nor the result of a node");
}

TEST_CASE("types and attributes are those of the shape rule", "[verifier]") {
  Graph graph = two_nodes();
  nodes_of(graph)[1].op = Op::logical_not;
  check_refused(graph, "the shape rule refuses the operands");
  Graph typed = two_nodes();
  nodes_of(typed)[1].op = Op::argmax;
  nodes_of(typed)[1].attributes = Attributes::of(1);
  check_refused(typed, "result 0 is f32[2,3], but the shape rule gives i64[2]");
  Graph missing = two_nodes();
  nodes_of(missing)[1].op = Op::cast;
  check_refused(missing, "the attributes are not those that the op specifies");
  nodes_of(missing)[1].attributes = Attributes::of(9);
  check_refused(missing, "attribute `dtype` has no such value");
  Graph negative = parse("graph @g(%x: f32[2,2]) -> () { %0 = concat %x {axis = 0} : f32[2,2] return }");
  verify(negative);
  nodes_of(negative)[0].attributes.set(0, -2);
  check_refused(negative, "not as the shape rule leaves them");
  Graph counted = parse("graph @g(%x: f32[4]) -> () { %0 = split %x {parts = 1, axis = 0} : f32[4] return }");
  nodes_of(counted)[0].attributes.set(0, 2);
  check_refused(counted, "another number of results");
}

TEST_CASE("only fusions and loops have blocks", "[verifier]") {
  Graph graph = two_nodes();
  nodes_of(graph)[0].body = std::make_shared<const Graph>(two_nodes());
  check_refused(graph, "a fusion or a loop, and nothing else, has a block");
  Graph fusion = fused(kFlat, "f32[4,6]", "return %x");
  verify(fusion);
  nodes_of(fusion)[0].body = nullptr;
  check_refused(fusion, "a fusion or a loop, and nothing else, has a block");
}

TEST_CASE("loops agree with their blocks", "[verifier]") {
  const auto loop = [](const std::string& attributes, const std::string& types, const std::string& block) {
    return parse("graph @g(%h: f32[2], %xs: f32[5,2], %w: f32[2]) -> () {\n%0 = loop %h, %xs, %w {" + attributes +
                 "} : " + types + "\n" + block + "\nreturn }");
  };
  const std::string form = "length = 5, carried = 1, scanned = 1, reverse = false", inputs = "(%h: f32[2], %x: f32[2], %w: f32[2])",
                    step = " { %0 = mul %h, %w : f32[2] %1 = add %0, %x : f32[2] return %1, %0 }";
  Graph good = loop(form, "(f32[2], f32[5,2])", inputs + step);
  CHECK_NOTHROW(verify(good));
  nodes_of(good)[0].attributes.set(0, 4);
  check_refused(good, "operand 1 is f32[5,2], but the block asks for f32[4,2]");
  nodes_of(good)[0].attributes.set(0, -1);
  check_refused(good, "a size is negative");
  nodes_of(good)[0].attributes.set(0, 5);
  nodes_of(good)[0].attributes.set(1, 3);
  check_refused(good, "fewer operands than carried values and sequences");
  nodes_of(good)[0].attributes.set(2, 0);
  check_refused(good, "the block returns fewer values than are carried");
  check_refused(loop(form, "f32[]", inputs + " { %0 = sum %h {keepdim = false, axes = [0]} : f32[] return %0 }"),
                "carried value 0 becomes f32[], but begins as f32[2]");
  check_refused(loop(form, "f32[2]", "(%h: f32[2], %x: f32[2]) { return %h }"),
                "operands and inputs of the block differ in number");
}

TEST_CASE("fusions agree with their blocks", "[verifier]") {
  Graph operand = parse(
      "graph @g(%a: f32[6]) -> () { %0 = fusion %a {domain = 0, rows = 1, columns = 6} : f32[2,3]"
      "(%x: f32[2,3]) { return %x } return }");
  check_refused(operand, "operand 0 is f32[6], but the block takes f32[2,3]");
  Graph number = parse(
      "graph @g(%a: f32[6]) -> () { %0 = fusion %a, %a {domain = 0, rows = 1, columns = 6} : f32[6]"
      "(%x: f32[6]) { return %x } return }");
  check_refused(number, "operands and inputs of the block differ in number");
  check_refused(fused(kFlat, "()", "return"), "the block returns nothing");
  Graph inner = two_nodes();
  nodes_of(inner)[1].inputs[0] = 2;
  Graph outer("g");
  const ValueId x = outer.add_input(kMatrix);
  outer.add_fusion(std::array{x}, Domain::flat, 1, 6, std::move(inner));
  check_refused(outer, "an operand is not defined before it is used");
}

TEST_CASE("domains of fusions", "[verifier]") {
  check_refused(fused("domain = 3, rows = 1, columns = 24", "f32[4,6]", "return %x"), "a domain 0, 1 or 2");
  check_refused(fused("domain = 1, rows = -1, columns = 24", "f32[4,6]", "return %x"), "a domain 0, 1 or 2");
  check_refused(fused("domain = 0, rows = 4, columns = 24", "f32[4,6]", "return %x"),
                "a flat domain has one row");
  check_refused(fused("domain = 2, rows = 65, columns = 6", "f32[4,6]", "return %x"), "one outer block");
  check_refused(fused("domain = 2, rows = 24, columns = 1", "f32[4,6]", "return %x"), "another tree");
  check_refused(fused("domain = 0, rows = 1, columns = 12", "f32[4,6]", "return %x"),
                "does not fit the domain");
  check_refused(fused("domain = 1, rows = 3, columns = 6", "f32[4,6]", "return %x"),
                "does not fit the domain");
  check_refused(fused(kFlat, "f32[]", "%0 = full {value = 1, dtype = f32, shape = []} : f32[] return %0"),
                "a result of a flat domain has all elements");
  check_refused(fused(kColumns, "f32[4,6]", "return %x"), "a result of a domain of columns");
}

TEST_CASE("reductions in fusions", "[verifier]") {
  verify(fused(kRows, "f32[4,1]", "%0 = sum %x {keepdim = true, axes = [1]} : f32[4,1] return %0"));
  verify(fused(kColumns, "f32[6]", "%0 = sum %x {keepdim = false, axes = [0]} : f32[6] return %0"));
  verify(fused(kColumns, "f32[1,6]", "%0 = max %x {keepdim = true, axes = [0]} : f32[1,6] return %0"));
  check_refused(fused(kFlat, "f32[]", "%0 = sum %x {keepdim = false, axes = [0, 1]} : f32[] return %0"),
                "a flat domain has no reductions");
  check_refused(fused(kRows, "f32[4]", "%0 = sum %x {keepdim = false, axes = [1]} : f32[4] return %0"),
                "reduces the last axis and keeps it");
  check_refused(fused(kRows, "f32[1,6]", "%0 = sum %x {keepdim = true, axes = [0]} : f32[1,6] return %0"),
                "reduces the last axis and keeps it");
  check_refused(fused(kColumns, "f32[4,1]", "%0 = sum %x {keepdim = true, axes = [1]} : f32[4,1] return %0"),
                "a domain of columns reduces its rows");
  check_refused(
      parse(
          "graph @g(%a: f32[4,4097]) -> () { %0 = fusion %a {domain = 1, rows = 4, columns = 4097} : f32[4,1]"
          "(%x: f32[4,4097]) { %0 = sum %x {keepdim = true, axes = [1]} : f32[4,1] return %0 } return }"),
      "longer than one block");
  check_refused(
      parse("graph @g(%a: f32[4,1]) -> () { %0 = fusion %a {domain = 2, rows = 4, columns = 6} : f32[1,1]"
            "(%x: f32[4,1]) { %0 = sum %x {keepdim = true, axes = [0]} : f32[1,1] return %0 } return }"),
      "another tree");
}

TEST_CASE("index maps in fusions", "[verifier]") {
  verify(fused(kRows, "f32[4,2]", "%0 = slice %x {axis = 1, start = 2, stop = 4} : f32[4,2] return %0"));
  verify(fused(kRows, "f32[4,12]", "%0 = concat %x, %x {axis = 1} : f32[4,12] return %0"));
  verify(fused(kRows, "f32[1,4,6]", "%0 = reshape %x {shape = [1, 4, 6]} : f32[1,4,6] return %0"));
  check_refused(
      fused(kRows, "f32[1,6]", "%0 = slice %x {axis = 0, start = 2, stop = 3} : f32[1,6] return %0"),
      "not the columns");
  check_refused(fused("domain = 1, rows = 8, columns = 6", "f32[8,6]",
                      "%0 = concat %x, %x {axis = 0} : f32[8,6] return %0"),
                "does not fit the domain");
  check_refused(fused(kColumns, "f32[4,12]", "%0 = concat %x, %x {axis = 1} : f32[4,12] return %0"),
                "only a domain of rows has concat");
  check_refused(fused(kRows, "f32[1,24]", "%0 = reshape %x {shape = [1, 24]} : f32[1,24] return %0"),
                "changes which elements are a row");
  check_refused(fused(kFlat, "f32[6,4]", "%0 = permute %x {axes = [1, 0]} : f32[6,4] return %0"),
                "changes the order of the elements");
  check_refused(
      parse(
          "graph @g(%a: f32[3]) -> () { %0 = fusion %a {domain = 1, rows = 2, columns = 3} : f32[2,3,3]"
          "(%x: f32[3]) { %0 = expand %x {shape = [2, 1, 3]} : f32[2,1,3] %1 = reshape %0 {shape = [2, 3]} : "
          "f32[2,3] %2 = expand %x {shape = [2, 3, 3]} : f32[2,3,3] return %2 } return }"),
      "does not fit the domain");
}

TEST_CASE("a block holds no other op and no fusion", "[verifier]") {
  check_refused(fused(kRows, "i64[4]", "%0 = argmax %x {axis = 1} : i64[4] return %0"),
                "no place in a block");
  check_refused(fused(kFlat, "f32[4,6]",
                      "%0 = fusion %x {" + kFlat + "} : f32[4,6] (%y: f32[4,6]) { return %y } return %0"),
                "fusions do not nest");
}
