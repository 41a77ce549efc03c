// Checks that every op of a body maps rows to rows and columns to columns, and works out the forms of its values.
#include "codegen/cpu/value_form.h"

#include <fmt/format.h>

#include "ir/op/error.h"
#include "ir/op/reduction.h"

namespace calque::codegen {

namespace {

Form form_of(const Shape& shape, Domain domain) {
  if (domain == Domain::flat) return {1, shape.element_count()};
  Form form;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) form.rows *= shape[axis];
  if (shape.rank() > 0) form.width = shape.back();
  return form;
}

class FormChecker {
 public:
  explicit FormChecker(const KernelDomain& kernel) : kernel_(kernel), body_(*kernel.body) {}

  std::vector<Form> run() {
    check_domain();
    for (ValueId value = 0; value < body_.value_count(); ++value) forms_.push_back(checked_form(value));
    for (const Node& node : body_.nodes()) check(node);
    for (ValueId output : body_.outputs()) check_output(output);
    return std::move(forms_);
  }

 private:
  [[noreturn]] void refuse(const Node& node, const char* reason) const {
    throw UserError(fmt::format("fusion: {} of {}: {}", row(node.op).name, operand_text(node), reason));
  }
  std::string operand_text(const Node& node) const {
    return to_string(body_.type(node.inputs.empty() ? node.result() : node.inputs[0]));
  }

  void check_domain() const {
    if (body_.nodes().size() > kMaxBodyNodes)
      throw UserError(fmt::format("fusion: {} nodes in one body (at most {})", body_.nodes().size(), kMaxBodyNodes));
    if (kernel_.rows < 0 || kernel_.columns < 0) throw UserError("fusion: negative rows or columns");
    if (kernel_.domain == Domain::flat && kernel_.rows != 1) throw UserError("fusion: a flat domain has one row");
    if (kernel_.domain != Domain::columns) return;
    if (kernel_.rows > kMaxSummedRows)
      throw UserError(fmt::format("fusion: a columns domain of {} rows (at most {})", kernel_.rows, kMaxSummedRows));
    // The rows of a single column are an innermost axis, which has another tree (ir/op/reduction.h).
    if (kernel_.columns == 1) throw UserError("fusion: a columns domain of one column");
  }

  Form checked_form(ValueId value) const {
    const Form form = form_of(body_.type(value).shape, kernel_.domain);
    const bool flat = kernel_.domain == Domain::flat;
    if (flat ? form.width != 1 && form.width != kernel_.columns : form.rows != 1 && form.rows != kernel_.rows)
      throw UserError(fmt::format("fusion: a value {} in a domain of {} rows and {} columns", to_string(body_.type(value)),
                                  kernel_.rows, kernel_.columns));
    return form;
  }

  void check(const Node& node) const {
    const Op op = node.op;
    if (row(op).kind == OpKind::elementwise || op == Op::full || op == Op::arange) return;
    switch (op) {
      case Op::reshape:
      case Op::permute: return check_reordering(node);
      case Op::expand: return check_expand(node);
      case Op::slice: return check_columns_axis(node, node.attributes[0]);
      case Op::split: return check_columns_axis(node, node.attributes[1]);
      case Op::concat:
        if (kernel_.domain != Domain::rows) refuse(node, "only a rows domain joins columns");
        return check_columns_axis(node, node.attributes[0]);
      case Op::pad:
        if (kernel_.domain != Domain::rows) refuse(node, "only a rows domain pads columns");
        return check_columns_axis(node, node.attributes[0]);
      case Op::sum:
      case Op::max: return check_reduction(node);
      default: refuse(node, "no op of a fusion");
    }
  }

  void check_reordering(const Node& node) const {
    if (forms_[node.inputs[0]] != forms_[node.result()]) refuse(node, "changes which elements are a row");
    if (node.op != Op::permute) return;
    const Shape& shape = body_.type(node.inputs[0]).shape;
    int64_t last = -1;  // axes of one element may move, the others keep their order
    for (int64_t axis : node.attributes.list(0)) {
      if (shape[axis] == 1) continue;
      if (axis < last) refuse(node, "changes the order of the elements");
      last = axis;
    }
  }

  void check_expand(const Node& node) const {
    const Form from = forms_[node.inputs[0]], to = forms_[node.result()];
    if ((from.rows != 1 && from.rows != to.rows) || (from.width != 1 && from.width != to.width))
      refuse(node, "repeats elements within a row");
  }

  /// Index maps move along the columns; along another axis they must keep everything.
  void check_columns_axis(const Node& node, int64_t axis) const {
    const Shape& shape = body_.type(node.inputs[0]).shape;
    if (kernel_.domain != Domain::flat && axis == shape.rank() - 1) return;
    if (node.inputs.size() == 1 && body_.type(node.result()).shape == shape) return;
    refuse(node, "works on an axis that is not the columns");
  }

  void check_reduction(const Node& node) const {
    const Shape& shape = body_.type(node.inputs[0]).shape;
    const bool over_columns = kernel_.domain == Domain::rows;
    if (kernel_.domain == Domain::flat) refuse(node, "a flat domain has no reductions");
    int64_t reduced_axes = 0;  // axes of one element change nothing
    bool columns_reduced = false;
    for (int64_t axis : node.attributes.list(1)) {
      if (axis == shape.rank() - 1) columns_reduced = true;
      if (axis != shape.rank() - 1 && shape[axis] != 1) ++reduced_axes;
    }
    const Form from = forms_[node.inputs[0]], to = forms_[node.result()];
    if (over_columns) {
      if (!columns_reduced || reduced_axes != 0 || to != Form{from.rows, 1})
        refuse(node, "a rows domain reduces the last axis and keeps it as size 1");
      if (from.width > reduction::kBlock) refuse(node, "the axis is longer than one block of the reduction tree");
    } else if (columns_reduced || reduced_axes > 1 || from.rows != kernel_.rows || to != Form{1, from.width}) {
      refuse(node, "a columns domain reduces its rows");
    } else if (from.width == 1) {
      refuse(node, "the rows of a single column have another reduction tree");
    }
  }

  void check_output(ValueId output) const {
    const Form form = forms_[output];
    if (kernel_.domain == Domain::flat && form.width != kernel_.columns)
      throw UserError("fusion: a result of a flat domain has one element instead of all");
    if (kernel_.domain == Domain::columns && form != Form{1, kernel_.columns})
      throw UserError("fusion: a result of a columns domain is not one row of all columns");
    if (kernel_.domain == Domain::rows && form.rows != kernel_.rows && kernel_.rows == 0)
      throw UserError("fusion: a result without rows in a rows domain of none");
  }

  const KernelDomain& kernel_;
  const Graph& body_;
  std::vector<Form> forms_;
};

}  // namespace

std::vector<Form> forms_of(const KernelDomain& kernel) { return FormChecker(kernel).run(); }

}  // namespace calque::codegen
