// Through which rows gradients flow, and why not through the others.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/op_cases.h"

namespace calque::test {

/// Why no gradient is recorded of a row; empty when one is, if only of zeros: some case makes floats of floats.
inline std::string reason_without_record(Op op) {
  if (row(op).ir_only) return "made by passes, behind differentiation";
  if (row(op).kind == OpKind::creation) return "takes no tensor";
  if (op == Op::detach) return "cuts the gradient by definition";
  for (const OpCase& c : op_cases(op)) {
    std::vector<Type> types;
    bool takes_floats = false;
    for (const Tensor& input : c.inputs) {
      types.push_back({input.dtype(), input.shape()});
      takes_floats |= is_floating(input.dtype());
    }
    Attributes attributes = c.attributes;
    if (takes_floats && is_floating(infer(op, types, attributes)[0].dtype)) return "";
  }
  return "takes or gives no floats";
}

inline bool is_piecewise_constant(Op op) {
  constexpr Op steps[] = {Op::floor, Op::ceil, Op::round, Op::trunc, Op::sign, Op::floor_divide};
  return std::find(std::begin(steps), std::end(steps), op) != std::end(steps);
}

/// Of kinks with straight lines between them, so that the row itself has second derivatives of zero.
inline bool is_piecewise_linear(Op op) {
  constexpr Op kinked[] = {Op::abs, Op::relu, Op::maximum, Op::minimum, Op::max, Op::min, Op::clamp, Op::remainder};
  return std::find(std::begin(kinked), std::end(kinked), op) != std::end(kinked);
}

/// Why no gradient flows through a row; empty when one does.
inline std::string reason_without_gradient(Op op) {
  if (is_piecewise_constant(op)) return "piecewise constant: its gradient is zero";
  return reason_without_record(op);
}

}  // namespace calque::test
