// The parts of fusing on their own: merging groups, minimum cuts, bounds of a fusion, the pipeline's names.
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "passes/group_order.h"
#include "passes/minimum_cut.h"
#include "passes/pipeline.h"
#include "tests/ir/passes/programs.h"

namespace calque::test {

namespace {

/// Whether some order of the groups has every operand before its use.
bool is_topological(const Graph& graph, const passes::GroupOrder& groups) {
  std::vector<size_t> position(graph.nodes().size());
  const std::vector<passes::GroupId> order = groups.order();
  for (size_t i = 0; i < order.size(); ++i) position[order[i]] = i;
  for (NodeId id = 0; id < graph.nodes().size(); ++id)
    for (ValueId input : graph.node(id).inputs)
      if (!graph.is_input(input) &&
          position[groups.group_of(graph.producer(input))] > position[groups.group_of(id)])
        return false;
  return true;
}

/// Whether a path leads from group a to group b through a third one: the slow way, by following every path.
bool has_detour(const Graph& graph, const passes::GroupOrder& groups, passes::GroupId a, passes::GroupId b) {
  std::vector<bool> seen(graph.nodes().size());
  std::vector<passes::GroupId> stack{a};
  while (!stack.empty()) {
    const passes::GroupId group = stack.back();
    stack.pop_back();
    for (NodeId node : groups.members(group))
      for (NodeId user : groups.users(node)) {
        const passes::GroupId next = groups.group_of(user);
        if (next == b && group != a) return true;
        if (next == a || next == b || seen[next]) continue;
        seen[next] = true;
        stack.push_back(next);
      }
  }
  return false;
}

}  // namespace

TEST_CASE("groups merge exactly where no detour joins them, and stay in order") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const Graph graph = random_program(random, 30);
    const uint32_t nodes = static_cast<uint32_t>(graph.nodes().size());
    passes::GroupOrder groups(graph);
    for (int i = 0; i < 60; ++i) {
      const passes::GroupId a = groups.group_of(random() % nodes), b = groups.group_of(random() % nodes);
      const bool detour = a != b && (has_detour(graph, groups, a, b) || has_detour(graph, groups, b, a));
      INFO("seed " << seed << ", step " << i);
      REQUIRE(groups.try_merge(a, b) == !detour);
      REQUIRE(is_topological(graph, groups));
    }
  }
}

TEST_CASE("minimum cuts are minimal and nearest to the sink") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    constexpr int kVertices = 8;
    struct Arc {
      int from, to;
      int64_t capacity;
    };
    std::vector<Arc> arcs;
    passes::FlowNetwork network(kVertices);
    for (int i = 0; i < 16; ++i) {
      const Arc arc{static_cast<int>(random() % kVertices), static_cast<int>(random() % kVertices),
                    static_cast<int64_t>(random() % 10)};
      arcs.push_back(arc);
      network.add_arc(arc.from, arc.to, arc.capacity);
    }
    const auto weight = [&](auto on_sink_side) {
      int64_t total = 0;
      for (const Arc& arc : arcs)
        if (!on_sink_side(arc.from) && on_sink_side(arc.to)) total += arc.capacity;
      return total;
    };
    const std::vector<bool> cut = network.sink_side(0, kVertices - 1);
    REQUIRE((!cut[0] && cut[kVertices - 1]));
    const int64_t found = weight([&](int v) { return bool(cut[v]); });
    const auto size = std::ranges::count(cut, true);
    for (unsigned bits = 0; bits < 1u << kVertices; ++bits) {
      if (bits & 1 || !(bits >> (kVertices - 1) & 1)) continue;
      const int64_t other = weight([&](int v) { return bits >> v & 1; });
      REQUIRE(found <= other);
      if (other == found) REQUIRE(size <= __builtin_popcount(bits));
    }
  }
}

TEST_CASE("a fusion stays within the bounds of nodes and operands") {
  Graph graph("wide");
  GraphEmitter emitter(graph);
  std::vector<Value> inputs;
  for (int i = 0; i < 600; ++i) inputs.push_back(emitter.value(graph.add_input({DType::f32, {4, 8}})));
  Value total = inputs[0];
  for (size_t i = 1; i < inputs.size(); ++i) total = total + inputs[i];
  graph.set_outputs({total.id});
  const Graph fused = lower(graph);
  verify(fused);
  CHECK(fused.nodes().size() > 1);
  CHECK(fused.nodes().size() < 8);
  for (const Node& node : fused.nodes()) {
    CHECK(node.inputs.size() + node.result_count <= 192);
    CHECK(node.body->nodes().size() <= 256);
  }
}

TEST_CASE("a scalar result beside a long vector is a fusion of its own") {
  const Graph fused = lower(parse(R"(graph @scaled(%x: f32[100000], %s: f32[]) -> (f32[100000], f32[]) {
    %0 = exp %s : f32[]
    %1 = mul %x, %0 : f32[100000]
    return %1, %0
  })"));
  verify(fused);
  REQUIRE(fused.nodes().size() == 2);
  for (const Node& node : fused.nodes()) CHECK(node.attributes[0] == static_cast<int64_t>(Domain::flat));
}

TEST_CASE("sums over columns that depend on each other stay apart") {
  const Graph fused = lower(parse(R"(graph @batch_norm(%x: f32[16,8]) -> (f32[1,8], f32[1,8], f32[1,8]) {
    %0 = sum %x {keepdim = true, axes = [0]} : f32[1,8]
    %1 = sub %x, %0 : f32[16,8]
    %2 = mul %1, %1 : f32[16,8]
    %3 = sum %2 {keepdim = true, axes = [0]} : f32[1,8]
    %4 = exp %x : f32[16,8]
    %5 = sum %4 {keepdim = true, axes = [0]} : f32[1,8]
    return %0, %3, %5
  })"));
  verify(fused);
  CHECK(fused.nodes().size() == 2);
  for (const Node& node : fused.nodes()) {
    REQUIRE(node.op == Op::fusion);
    CHECK(node.attributes[0] == static_cast<int64_t>(Domain::columns));
    std::vector<bool> summed(node.body->value_count());
    for (const Node& inner : node.body->nodes())
      for (ValueId input : inner.inputs) {
        summed[inner.result()] =
            summed[inner.result()] || summed[input] || row(inner.op).kind == OpKind::reduction;
        if (row(inner.op).kind == OpKind::reduction) CHECK_FALSE(summed[input]);
      }
  }
}

TEST_CASE("nodes keep their source lines") {
  const int line = 0;
  Graph graph("lines");
  const ValueId x = graph.add_input({DType::f32, {4, 8}}, "x");
  const ValueId inputs[] = {x};
  const ValueId e = graph.add(Op::layer_norm, inputs, Attributes::of(1e-5), &line).result();
  graph.set_outputs({e});
  const Graph fused = lower(prepare(graph));
  REQUIRE(fused.nodes().size() == 1);
  CHECK(fused.node(0).location == &line);
  for (const Node& node : fused.node(0).body->nodes()) CHECK(node.location == &line);
}

TEST_CASE("passes are named, timed, and refused where unknown") {
  std::vector<PassTiming> timings;
  std::vector<std::string> seen;
  PassOptions options;
  options.timings = &timings;
  options.disabled = {"cse"};
  options.after = [&](std::string_view pass, const Graph&) { seen.emplace_back(pass); };
  lower(prepare(mlp_layer(DType::f32, 2, 3, 4), options), options);
  REQUIRE(timings.size() == seen.size());
  for (size_t i = 0; i < seen.size(); ++i) CHECK(timings[i].name == seen[i]);
  CHECK(std::ranges::count(seen, "cse") == 0);
  CHECK(std::ranges::count(seen, "fuse") == 1);
  CHECK_THROWS_WITH(run_passes(Graph("none"), "cse,nonsense"),
                    Catch::Contains("there is no pass `nonsense`"));
}

}  // namespace calque::test
