// Writes fusions down with fixed sizes in place of those that their code takes at run time.
#include "compiler/kernel_text.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

#include "calque/kernel_abi.h"
#include "ir/graph/printer.h"

namespace calque {

namespace {

// What stands for any number of rows, columns or elements from two on.
constexpr int64_t kRows = 2, kColumns = 64, kElements = 64, kColumnsOfRows = CALQUE_MOST_ANY_COLUMNS;
constexpr size_t kMostConstants = 32;
// Smaller numbers are mostly no sizes, and there are few of them.
constexpr int64_t kLeastCount = 5;
constexpr double kMostCount = 9007199254740992.0;  // integers up to here are exact

struct Form {
  int64_t rows = 1, width = 1;
};

class FixedSizes {
 public:
  FixedSizes(const Node& fusion, RowLength length)
      : body_(*fusion.body),
        length_(length),
        domain_(static_cast<Domain>(fusion.attributes[0])),
        rows_(fusion.attributes[1]),
        columns_(fusion.attributes[2]) {}

  /// Empty when the code depends on the sizes, or an op of the body is not known here.
  std::optional<Graph> fusion() {
    // Column numbers are 32 bits wide where every size fits.
    if (columns_ > std::numeric_limits<int32_t>::max()) return std::nullopt;
    if (domain_ != Domain::flat && rows_ == 0) return std::nullopt;
    any_columns_ = domain_ == Domain::rows ? length_ == RowLength::any && rows_may_be_longer() : all_widths_fit();
    if (domain_ == Domain::flat && !any_columns_) return std::nullopt;
    for (ValueId input : body_.inputs()) values_.push_back(made_.add_input({body_.type(input).dtype, shape_of(input)}));
    find_constants();
    for (const Node& node : body_.nodes())
      if (!add(node)) return std::nullopt;
    std::vector<ValueId> outputs;
    for (ValueId output : body_.outputs()) outputs.push_back(values_[output]);
    made_.set_outputs(std::move(outputs));
    return std::move(made_);
  }

  const std::vector<KernelConstant>& constants() const { return constants_; }
  RowLength row_length() const { return domain_ == Domain::rows && any_columns_ ? RowLength::any : RowLength::own; }
  int64_t rows() const { return domain_ != Domain::flat && rows_ > 1 ? kRows : rows_; }
  int64_t columns() const { return any_columns_ ? width_of(columns_) : columns_; }

 private:
  Form form(ValueId value) const {
    const Shape& shape = body_.type(value).shape;
    if (domain_ == Domain::flat) return {1, shape.element_count()};
    Form form;
    for (int axis = 0; axis + 1 < shape.rank(); ++axis) form.rows *= shape[axis];
    if (shape.rank() > 0) form.width = shape.back();
    return form;
  }

  bool rows_may_be_longer() const { return columns_ > 1 && columns_ <= kColumnsOfRows && all_widths_fit(); }

  /// Whether there are only whole rows of columns, and values without columns.
  bool all_widths_fit() const {
    for (const Node& node : body_.nodes()) {
      const bool moves = node.op == Op::slice || node.op == Op::concat || node.op == Op::pad;
      if ((moves && is_along_columns(node, node.attributes[0])) ||
          (node.op == Op::split && is_along_columns(node, node.attributes[1])))
        return false;
    }
    for (ValueId value = 0; value < body_.value_count(); ++value)
      if (const int64_t width = form(value).width; width != 1 && width != columns_) return false;
    return columns_ > 0;
  }

  int64_t width_of(int64_t width) const {
    if (!any_columns_ || width == 1) return width;
    return domain_ == Domain::flat ? kElements : domain_ == Domain::rows ? kColumnsOfRows : kColumns;
  }

  Shape shape_of(ValueId value) const {
    const Form own = form(value);
    const int64_t width = width_of(own.width);
    if (domain_ == Domain::flat) return {width};
    return {own.rows == 1 ? 1 : kRows, width};
  }

  /// Whether an index map or assembly works along the columns; else it keeps everything (see check_fusion).
  bool is_along_columns(const Node& node, int64_t axis) const {
    return domain_ != Domain::flat && axis == body_.type(node.inputs[0]).shape.rank() - 1;
  }

  /// What these ops do with a number costs the same whether or not it is known to the code; others become simpler.
  static bool takes_any_number(Op op) { return op == Op::add || op == Op::sub || op == Op::mul || op == Op::div; }

  bool is_constant_operand(const Node& node, const std::vector<bool>& must_be_known) const {
    if (node.op != Op::full || must_be_known[node.result()] || body_.type(node.result()).shape.element_count() != 1) return false;
    if (!is_floating(node.attributes.dtype(1))) return false;
    const int64_t count = count_in(node.attributes.number(0));
    return count >= kLeastCount && !is_known_width(count);
  }

  /// n for a number that is n or 1 / n, as the mean of n elements has it; else 0.
  static int64_t count_in(double number) {
    if (!(number > 0 && number < kMostCount)) return 0;
    const double count = std::nearbyint(number < 1 ? std::min(1 / number, kMostCount) : number);
    const bool fits = number == count || number == 1 / count || number == static_cast<double>(1 / static_cast<float>(count));
    return fits ? static_cast<int64_t>(count) : 0;
  }

  /// Whether it is the length of a row, which is part of the text anyway.
  bool is_known_width(int64_t count) const {
    if (any_columns_) return false;
    for (ValueId value = 0; value < body_.value_count(); ++value)
      if (form(value).width == count) return true;
    return false;
  }

  /// Inputs come first in a graph, so the constants are found before any op is added.
  void find_constants() {
    std::vector<bool> must_be_known(body_.value_count(), false);
    for (const Node& node : body_.nodes())
      if (!takes_any_number(node.op))
        for (ValueId input : node.inputs) must_be_known[input] = true;
    for (ValueId output : body_.outputs()) must_be_known[output] = true;
    for (const Node& node : body_.nodes()) {
      if (constants_.size() == kMostConstants) return;
      if (!is_constant_operand(node, must_be_known)) continue;
      constants_.push_back({node.attributes.dtype(1), node.attributes.number(0)});
      constant_operands_.emplace_back(node.result(), made_.add_input({constants_.back().dtype, shape_of(node.result())}));
    }
  }

  const ValueId* constant_operand(ValueId value) const {
    for (const auto& [constant, operand] : constant_operands_)
      if (constant == value) return &operand;
    return nullptr;
  }

  bool add(const Node& node) {
    if (const ValueId* operand = constant_operand(node.first_result)) return take(node.first_result, *operand);
    Op op = node.op;
    Attributes attributes = node.attributes;
    const Shape shape = shape_of(node.result());
    switch (op) {
      case Op::full: attributes.set_list(2, shape.dims()); break;
      case Op::arange: return add_arange(node);
      case Op::expand: attributes.set_list(0, shape.dims()); break;
      case Op::reshape:
      case Op::permute:
      case Op::detach: return add_reshape(node);
      case Op::slice:
      case Op::concat:
      case Op::pad:
        if (!is_along_columns(node, attributes[0])) return add_reshape(node);
        attributes.set(0, 1);
        break;
      case Op::split:
        if (!is_along_columns(node, attributes[1])) return add_reshape(node);
        attributes.set(1, 1);
        break;
      default:
        if (row(op).kind == OpKind::reduction)
          attributes = Attributes::of(true, Ints{domain_ == Domain::rows ? 1 : 0});
        else if (row(op).kind != OpKind::elementwise)
          return false;
    }
    return add_as(op, node, attributes);
  }

  bool add_as(Op op, const Node& node, const Attributes& attributes) {
    std::vector<ValueId> inputs;
    for (ValueId input : node.inputs) inputs.push_back(values_[input]);
    const Node& added = made_.add(op, inputs, attributes);
    if (added.result_count != node.result_count) return false;
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (!take(node.result(i), added.result(i))) return false;
    return true;
  }

  bool add_reshape(const Node& node) {
    if (node.inputs.size() != 1 || node.result_count != 1) return false;
    return add_as(Op::reshape, node, Attributes::of(Ints(shape_of(node.result()))));
  }

  bool add_arange(const Node& node) {
    Attributes attributes = node.attributes;
    const Shape shape = shape_of(node.result());
    attributes.set(0, shape.back());
    const ValueId made[] = {made_.add(Op::arange, {}, attributes).result()};
    return take(node.result(), made_.add(Op::reshape, made, Attributes::of(Ints(shape))).result());
  }

  bool take(ValueId original, ValueId made) {
    values_.push_back(made);
    return values_.size() == original + 1 &&
           made_.type(made) == Type{body_.type(original).dtype, shape_of(original)};
  }

  const Graph& body_;
  RowLength length_;
  Domain domain_;
  int64_t rows_, columns_;
  bool any_columns_ = false;
  Graph made_{"body"};
  std::vector<ValueId> values_;  // of the body, in what is made
  std::vector<KernelConstant> constants_;
  std::vector<std::pair<ValueId, ValueId>> constant_operands_;  // of the body, in what is made
};

std::string text_of(Graph body, Domain domain, int64_t rows, int64_t columns) {
  Graph graph("kernel");
  std::vector<ValueId> inputs;
  for (ValueId input : body.inputs()) inputs.push_back(graph.add_input(body.type(input)));
  const Node& fusion = graph.add_fusion(inputs, domain, rows, columns, std::move(body));
  std::vector<ValueId> outputs;
  for (uint32_t i = 0; i < fusion.result_count; ++i) outputs.push_back(fusion.result(i));
  graph.set_outputs(std::move(outputs));
  return print(graph);
}

}  // namespace

uint64_t KernelConstant::bits() const {
  return dtype == DType::f32 ? std::bit_cast<uint32_t>(static_cast<float>(value)) : std::bit_cast<uint64_t>(value);
}

KernelText kernel_text(const Node& fusion, RowLength length) {
  const Domain domain = static_cast<Domain>(fusion.attributes[0]);
  FixedSizes sizes(fusion, length);
  if (std::optional<Graph> body = sizes.fusion())
    return {text_of(std::move(*body), domain, sizes.rows(), sizes.columns()), sizes.constants(), sizes.row_length()};
  return {text_of(*fusion.body, domain, fusion.attributes[1], fusion.attributes[2]), {}};
}

static void add_fusions(const Graph& lowered, std::vector<const Node*>& fusions) {
  for (const Node& node : lowered.nodes()) {
    if (node.op == Op::fusion) fusions.push_back(&node);
    if (node.op == Op::loop) add_fusions(*node.body, fusions);
  }
}

std::vector<const Node*> fusions_of(const Graph& lowered) {
  std::vector<const Node*> fusions;
  add_fusions(lowered, fusions);
  return fusions;
}

}  // namespace calque
