// One op, or a whole graph, run by each engine: eager dispatch, the reference interpreter, a compiled
// function.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "calque/compile.h"
#include "ir/graph/graph.h"
#include "ir/graph/interpreter.h"
#include "runtime/dispatch.h"
#include "tests/support/can_compile.h"
#include "tests/support/same_bits.h"
#include "tests/support/test_values.h"

namespace calque::test {

/// A graph of one op on inputs of the types of `inputs`, giving all of its results.
inline Graph graph_of(Op op, std::span<const Tensor> inputs, const Attributes& attributes) {
  Graph graph(row(op).name);
  std::vector<ValueId> operands, outputs;
  for (const Tensor& input : inputs) operands.push_back(graph.add_input({input.dtype(), input.shape()}));
  const Node& node = graph.add(op, operands, attributes);
  for (uint32_t i = 0; i < node.result_count; ++i) outputs.push_back(node.result(i));
  graph.set_outputs(std::move(outputs));
  return graph;
}

inline std::vector<Tensor> interpreted(const Graph& graph, std::span<const Tensor> inputs) {
  std::vector<Tensor> results;
  for (const Literal& literal : interpret(graph, to_literals(inputs))) results.push_back(to_tensor(literal));
  return results;
}

/// The nodes of a graph in order, through the public dispatch. The graph has no fusions.
inline std::vector<Tensor> run_eagerly(const Graph& graph, std::span<const Tensor> inputs) {
  std::vector<Tensor> values(inputs.begin(), inputs.end()), outputs;
  for (const Node& node : graph.nodes()) {
    std::vector<Tensor> operands;
    for (ValueId input : node.inputs) operands.push_back(values[input]);
    for (Tensor& result : run_op(node.op, operands, node.attributes)) values.push_back(std::move(result));
  }
  for (ValueId output : graph.outputs()) outputs.push_back(values[output]);
  return outputs;
}

inline bool same_bits(std::span<const Tensor> a, std::span<const Tensor> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!calque::same_bits(a[i], b[i])) return false;
  return true;
}

/// The first element in which two tensors of one type differ, for messages.
inline std::string first_difference(std::span<const Tensor> a, std::span<const Tensor> b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (calque::same_bits(a[i], b[i])) continue;
    const Type x{a[i].dtype(), a[i].shape()}, y{b[i].dtype(), b[i].shape()};
    if (!(x == y)) return "result " + std::to_string(i) + ": " + to_string(x) + " against " + to_string(y);
    std::string text = "result " + std::to_string(i);
    with_element_type(x.dtype, [&]<class T>(T) {
      const std::vector<T> p = a[i].to_vector<T>(), q = b[i].to_vector<T>();
      for (size_t k = 0; k < p.size(); ++k) {
        const T u = p[k], v = q[k];
        if (std::memcmp(&u, &v, sizeof(T)) == 0 || (u != u && v != v)) continue;
        text += " element " + std::to_string(k) + ": " + std::to_string(u) + " against " + std::to_string(v);
        return;
      }
    });
    return text;
  }
  return a.size() == b.size() ? "" : "numbers of results differ";
}

}  // namespace calque::test
