// Looks at every place that a loop reads or writes.
#include "compiler/loop_rows.h"

#include <algorithm>
#include <map>

namespace calque {

namespace {

class Rows {
 public:
  explicit Rows(const PlanStep& loop) : loop_(loop) {}

  int64_t find() {
    for (const PlanStep& step : loop_.body)
      if (!note(step)) return 0;
    if (rows_ < 2) return 0;
    for (const PlanStep& step : loop_.body)
      if (!keeps_rows_apart(step)) return 0;
    return rows_;
  }

 private:
  /// The rows of the products, and what is written.
  bool note(const PlanStep& step) {
    if (step.kind != PlanStep::Kind::kernel && step.kind != PlanStep::Kind::product) return false;
    for (const PlanStep& product : step.products)
      if (!note(product)) return false;
    if (step.kind == PlanStep::Kind::product) {
      const int64_t rows = step.results[0].type.shape[0];
      if (rows_ != 0 && rows != rows_) return false;
      rows_ = rows;
    }
    for (const Place& result : step.results) {
      const int64_t elements = result.type.shape.element_count();
      if (!written_.try_emplace(result.buffer, elements).second && written_[result.buffer] != elements) return false;
    }
    return true;
  }

  bool keeps_rows_apart(const PlanStep& step) const {
    for (const PlanStep& product : step.products)
      if (!keeps_rows_apart(product)) return false;
    if (step.kind == PlanStep::Kind::kernel && !walks_rows(step)) return false;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (!written_.contains(step.inputs[i].buffer)) continue;
      const bool is_right_side = step.kind == PlanStep::Kind::product && i % 2 == 1;
      if (is_right_side || !lies_in_rows(step.inputs[i])) return false;
    }
    return std::all_of(step.results.begin(), step.results.end(), [&](const Place& place) { return lies_in_rows(place); });
  }

  bool walks_rows(const PlanStep& kernel) const {
    if (kernel.domain == Domain::flat) return kernel.columns % rows_ == 0;
    return kernel.domain == Domain::rows && kernel.rows == rows_;
  }

  /// Whether row r of the place is within the r-th of so many equal parts of what is written there in one step.
  bool lies_in_rows(const Place& place) const {
    const int64_t elements = written_.at(place.buffer), pitch = elements / rows_;
    const Shape& shape = place.type.shape;
    int axis = 0;
    while (axis < shape.rank() && shape[axis] == 1) ++axis;
    return elements % rows_ == 0 && axis < shape.rank() && shape[axis] == rows_ && place.strides[axis] == pitch &&
           place.offset >= 0 && place.offset % elements < pitch && place.walk.step % elements == 0;
  }

  const PlanStep& loop_;
  int64_t rows_ = 0;
  std::map<int, int64_t> written_;  // elements that one step writes, by buffer
};

}  // namespace

int64_t independent_rows(const PlanStep& loop) { return Rows(loop).find(); }

}  // namespace calque
