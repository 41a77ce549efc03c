// What a program is: nodes in SSA form and topological order, with dense ids and plain vectors.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/op/emitter.h"
#include "ir/op/op.h"

namespace calque {

using ValueId = uint32_t;
using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~0u;

class Graph;

struct Node {
  Op op;
  Attributes attributes;
  std::vector<ValueId> inputs;
  ValueId first_result = 0;               // results are consecutive
  uint32_t result_count = 0;
  std::shared_ptr<const Graph> body;      // of a fusion or a loop; null otherwise
  const void* location = nullptr;         // return address in the user's code while tracing; symbolised when printed

  ValueId result(uint32_t i = 0) const { return first_result + i; }
};

/// How the rows and columns of a fusion's domain are walked (attribute `domain`).
///   flat     every operand has `columns` elements or one; element ranges are independent (rows = 1)
///   rows     `rows` rows, each computed whole: operands are [rows, C] or [1, C] or [rows, 1] or one element; C may
///            differ between values (slices, concat); reductions run over the last axis
///   columns  results are sums over the `rows` rows for each of `columns` columns
enum class Domain : int64_t { flat = 0, rows = 1, columns = 2 };

/// How a loop walks (its attributes). Operands, and inputs of its block, are in this order: `carried` values, which a
/// step hands to the next; `scanned` sequences, of which a step sees one step of the first axis; what all steps share.
/// The block returns the next carried values, then what is stacked.
struct LoopForm {
  int64_t length = 0;
  size_t carried = 0, scanned = 0;
  bool reverse = false;  // from the last step to the first; stacked results lie in the order of the sequences

  static LoopForm of(const Attributes& attributes);
};

/// Types of the results of a node with a block. Throws UserError when a stacked one would have too many axes.
std::vector<Type> block_result_types(Op op, const Attributes& attributes, const Graph& body);

class Graph {
 public:
  explicit Graph(std::string name = "main") : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  /// Adds an input; an empty name becomes "x<number>". Names are unique identifiers [A-Za-z_][A-Za-z0-9_]*.
  ValueId add_input(const Type& type, std::string name = "");
  /// Appends an op; its shape rule gives the result types (throws UserError). Normalises the attributes.
  const Node& add(Op op, std::span<const ValueId> inputs, Attributes attributes = {}, const void* location = nullptr);
  /// Appends a fusion: body.inputs() correspond to `inputs`, its outputs to the results.
  const Node& add_fusion(std::span<const ValueId> inputs, Domain domain, int64_t rows, int64_t columns, Graph body,
                         const void* location = nullptr);
  /// Appends a loop; the verifier tells what its block must be.
  const Node& add_loop(std::span<const ValueId> inputs, const LoopForm& form, Graph body, const void* location = nullptr);
  /// Appends a node with any block: a fusion or a loop with other operands.
  const Node& add_block(Op op, std::span<const ValueId> inputs, const Attributes& attributes,
                        std::shared_ptr<const Graph> body, const void* location = nullptr);
  /// Appends a copy of a node of `source` with other operands. Where these have the types that they have there, so do the results:
  /// no rule is asked.
  const Node& add_copy(const Graph& source, const Node& node, std::span<const ValueId> inputs);
  /// Another block for a node, with outputs of the same types.
  void set_block(NodeId id, std::shared_ptr<const Graph> body);
  void set_outputs(std::vector<ValueId> outputs) { outputs_ = std::move(outputs); }

  std::span<const ValueId> inputs() const { return inputs_; }
  const std::string& input_name(size_t i) const { return input_names_[i]; }
  std::span<const ValueId> outputs() const { return outputs_; }
  std::span<const Node> nodes() const { return nodes_; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  /// Makes room, for as many nodes and values as another graph has.
  void reserve_like(const Graph& other);
  size_t value_count() const { return values_.size(); }
  const Type& type(ValueId value) const { return values_[value].type; }
  /// The node that makes a value; kNoNode for an input of the graph.
  NodeId producer(ValueId value) const { return values_[value].producer; }
  bool is_input(ValueId value) const { return producer(value) == kNoNode; }
  /// How many operands and outputs read each value.
  std::vector<uint32_t> use_counts() const;

 private:
  struct ValueRecord {
    Type type;
    NodeId producer;
  };
  const Node& append(Node node, std::span<const Type> result_types);

  std::string name_;
  std::vector<Node> nodes_;
  std::vector<ValueRecord> values_;
  std::vector<ValueId> inputs_, outputs_;
  std::vector<std::string> input_names_;
};

/// Gradient rules and composite bodies, written into a graph. Value ids are those of the graph.
class GraphEmitter final : public Emitter {
 public:
  explicit GraphEmitter(Graph& graph) : graph_(graph) {}
  std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) override;
  Type type(Value value) override { return graph_.type(value.id); }
  Value value(ValueId id) { return {this, id}; }
  /// The source line that the ops emitted from now on belong to.
  void set_location(const void* location) { location_ = location; }

 private:
  Graph& graph_;
  const void* location_ = nullptr;
};

}  // namespace calque
