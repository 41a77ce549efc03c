// The rules of fusion blocks: what the fuse pass may put into one and the code generators must take out of
// it.
#include <fmt/format.h>

#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "ir/op/reduction.h"

namespace calque {

namespace {

/// A value as a matrix: its last axis by all axes before it; in a flat domain one row of all elements.
struct Form {
  int64_t rows = 1, width = 1;
  bool operator==(const Form&) const = default;
};

class FusionChecker {
 public:
  FusionChecker(const Graph& graph, const Node& node)
      : graph_(graph),
        node_(node),
        body_(*node.body),
        domain_(static_cast<Domain>(node.attributes[0])),
        rows_(node.attributes[1]),
        columns_(node.attributes[2]) {}

  void run() const {
    check_domain();
    check_operands();
    for (ValueId value = 0; value < body_.value_count(); ++value) check_form(value);
    for (const Node& inner : body_.nodes())
      if (const char* fault = fault_of(inner))
        fail(fmt::format("in its block %{} = {}: {}", &inner - body_.nodes().data(), row(inner.op).name,
                         fault));
    for (ValueId output : body_.outputs()) check_result(output);
  }

 private:
  [[noreturn]] void fail(std::string_view rule) const {
    throw InternalError(
        fmt::format("graph @{}, %{} = fusion: {}", graph_.name(), &node_ - graph_.nodes().data(), rule));
  }

  Form form(ValueId value) const {
    const Shape& shape = body_.type(value).shape;
    if (domain_ == Domain::flat) return {1, shape.element_count()};
    if (shape.rank() == 0) return {};
    return {Shape(shape.dims().first(shape.rank() - 1)).element_count(), shape.back()};
  }

  void check_domain() const {
    const int64_t domain = node_.attributes[0];
    if (domain < 0 || domain > static_cast<int64_t>(Domain::columns) || rows_ < 0 || columns_ < 0)
      fail("a fusion has a domain 0, 1 or 2 of so many rows and columns");
    if (domain_ == Domain::flat && rows_ != 1) fail("a flat domain has one row");
    if (domain_ != Domain::columns) return;
    if (rows_ > reduction::kOuterBlock) fail("a domain of columns sums one outer block of rows at most");
    if (columns_ == 1) fail("the rows of a single column are an innermost axis, which is another tree");
  }

  void check_operands() const {
    if (node_.inputs.size() != body_.inputs().size())
      fail("operands and inputs of the block differ in number");
    for (size_t i = 0; i < node_.inputs.size(); ++i)
      if (graph_.type(node_.inputs[i]) != body_.type(body_.inputs()[i]))
        fail(fmt::format("operand {} is {}, but the block takes {}", i,
                         to_string(graph_.type(node_.inputs[i])), to_string(body_.type(body_.inputs()[i]))));
    if (body_.outputs().empty()) fail("the block returns nothing");
  }

  void check_form(ValueId value) const {
    const Form own = form(value);
    const bool fits = domain_ == Domain::flat ? own.width == 1 || own.width == columns_
                                              : own.rows == 1 || own.rows == rows_;
    if (!fits)
      fail(fmt::format("in its block {} : {} does not fit the domain", value_name(body_, value),
                       to_string(body_.type(value))));
  }

  void check_result(ValueId output) const {
    const Form own = form(output);
    if (domain_ == Domain::flat && own.width != columns_) fail("a result of a flat domain has all elements");
    if (domain_ == Domain::columns && own != Form{1, columns_})
      fail("a result of a domain of columns is one row of all columns");
  }

  /// Why a node does not fit the block; null if it does.
  const char* fault_of(const Node& node) const {
    switch (node.op) {
      case Op::full:
      case Op::arange:
        return nullptr;
      case Op::reshape:
      case Op::permute:
        return reordering_fault(node);
      case Op::expand:
        return expand_fault(node);
      case Op::slice:
        return columns_axis_fault(node, node.attributes[0]);
      case Op::split:
        return columns_axis_fault(node, node.attributes[1]);
      case Op::concat:
      case Op::pad:
        return domain_ == Domain::rows ? columns_axis_fault(node, node.attributes[0])
                                       : "only a domain of rows has concat and pad";
      case Op::fusion:
        return "fusions do not nest";
      default:
        break;
    }
    if (row(node.op).kind == OpKind::reduction) return reduction_fault(node);
    return row(node.op).kind == OpKind::elementwise ? nullptr : "this op has no place in a block";
  }

  const char* reordering_fault(const Node& node) const {
    if (form(node.inputs[0]) != form(node.result())) return "this changes which elements are a row";
    if (node.op == Op::reshape) return nullptr;
    const Shape& shape = body_.type(node.inputs[0]).shape;
    int64_t last = -1;  // axes of one element may move, the others keep their order
    for (int64_t axis : node.attributes.list(0)) {
      if (shape[static_cast<int>(axis)] == 1) continue;
      if (axis < last) return "this changes the order of the elements";
      last = axis;
    }
    return nullptr;
  }

  const char* expand_fault(const Node& node) const {
    const Form from = form(node.inputs[0]), to = form(node.result());
    const bool fits = (from.rows == 1 || from.rows == to.rows) && (from.width == 1 || from.width == to.width);
    return fits ? nullptr : "this repeats elements within a row";
  }

  /// Index maps move along the columns; along another axis they keep everything.
  const char* columns_axis_fault(const Node& node, int64_t axis) const {
    const Shape& shape = body_.type(node.inputs[0]).shape;
    if (domain_ != Domain::flat && axis == shape.rank() - 1) return nullptr;
    const bool keeps_all = node.inputs.size() == 1 && body_.type(node.result()).shape == shape;
    return keeps_all ? nullptr : "this works on an axis that is not the columns";
  }

  const char* reduction_fault(const Node& node) const {
    if (domain_ == Domain::flat) return "a flat domain has no reductions";
    const Shape& shape = body_.type(node.inputs[0]).shape;
    bool over_columns = false;
    int over_rows = 0;  // axes of one element change nothing
    for (int64_t axis : node.attributes.list(1)) {
      if (axis == shape.rank() - 1)
        over_columns = true;
      else if (shape[static_cast<int>(axis)] != 1)
        ++over_rows;
    }
    const Form from = form(node.inputs[0]), to = form(node.result());
    if (domain_ == Domain::rows) {
      if (!over_columns || over_rows > 0 || to != Form{from.rows, 1})
        return "a domain of rows reduces the last axis and keeps it as size 1";
      return from.width > reduction::kBlock ? "the axis is longer than one block of the reduction tree"
                                            : nullptr;
    }
    if (over_columns || over_rows > 1 || from.rows != rows_ || to != Form{1, from.width})
      return "a domain of columns reduces its rows";
    return from.width == 1 ? "the rows of a single column are an innermost axis, which is another tree"
                           : nullptr;
  }

  const Graph& graph_;
  const Node& node_;
  const Graph& body_;
  const Domain domain_;
  const int64_t rows_, columns_;
};

}  // namespace

void check_fusion(const Graph& graph, const Node& node) { FusionChecker(graph, node).run(); }

}  // namespace calque
