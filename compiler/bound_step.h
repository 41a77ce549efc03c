// A short step bound to the columns of one member of a team: while a loop runs it again and again, only addresses change.
#pragma once

#include <array>
#include <utility>
#include <variant>

#include "compiler/plan.h"
#include "runtime/kernels/row_columns.h"

namespace calque {

/// The columns [begin, end) of a step.
struct ColumnRange {
  int64_t begin, end;
};

/// A kernel, and products of one row before it; or such a product alone.
class BoundStep {
 public:
  static constexpr size_t kMostOfLoop = 8;
  static constexpr size_t kMostAddresses = 48, kMostProducts = 2;

  /// Binds anew; what is not added after it is of no meaning.
  void begin(const PlanStep& step, ColumnRange columns, std::byte* scratch) {
    step_ = &step;
    columns_ = columns;
    scratch_ = scratch;
    count_ = product_count_ = 0;
  }

  const ColumnRange& columns() const { return columns_; }
  bool has_room_for(size_t addresses) const { return count_ + addresses <= kMostAddresses; }

  /// Adds what the kernel is called with, in order, or, behind all of that, the rows and then the result of a product. `address`:
  /// in this iteration, the first to run.
  void add(std::byte* address, const Operand& operand, const Iteration& iteration) {
    const bool goes_back = operand.alternates && (iteration.number + operand.starts_behind) % 2 != 0;
    moves_[count_] = goes_back ? -operand.step : operand.step;
    turns_[count_] = operand.alternates ? -1 : 0;
    row_strides_[count_] = operand.row_stride;
    addresses_[count_++] = address;
  }
  void add(uint64_t& constant) {
    moves_[count_] = turns_[count_] = row_strides_[count_] = 0;
    addresses_[count_++] = reinterpret_cast<std::byte*>(&constant);
  }
  /// Its rows and result are added next. `width`: of every member's columns but the last one's. False, for all members alike, where
  /// it has too many tiles for some member, or is one product too many.
  template <class T>
  bool add_product(const kernels::ProductSum<T>& sum, int64_t width) {
    using Columns = kernels::RowColumns<T>;
    const size_t terms = static_cast<size_t>(sum.term_count);
    if (product_count_ == kMostProducts || !has_room_for(terms + 1)) return false;
    const int64_t period = step_->period, repeats = sum.n / period;
    for (int64_t begin = 0; begin < period; begin += width)
      if (!Columns::fits(sum, begin, std::min(begin + width, period), repeats, period)) return false;
    Product& product = products_[product_count_++];
    product.first = count_;
    product.terms = terms;
    if (columns_.begin < columns_.end) product.columns.template emplace<Columns>(sum, columns_.begin, columns_.end, repeats, period);
    return true;
  }

  /// One iteration, once others have done what it waits for.
  void run(Team& team, Order order) {
    const bool starts_early = step_->starts_early && columns_.begin == 0 && team.size > 1;
    if (starts_early) team.arrive();
    else if (step_->waits) team.barrier();
    if (columns_.begin == columns_.end) return;
    int64_t known = starts_early ? columns_.end : 0;
    for (size_t i = 0; i < product_count_; ++i) multiply(products_[i], order, std::exchange(known, 0), team);
    if (step_->kind == PlanStep::Kind::kernel) run_kernel();
  }

  /// To the next iteration.
  void advance() {
    for (size_t i = 0; i < count_; ++i) {
      addresses_[i] += moves_[i];
      moves_[i] = (moves_[i] ^ turns_[i]) - turns_[i];
    }
  }

 private:
  struct Product {
    std::variant<kernels::RowColumns<float>, kernels::RowColumns<double>> columns;
    size_t first, terms;  // addresses of its rows; that of the result follows
  };

  void run_kernel() {
    void** const buffers = reinterpret_cast<void**>(addresses_.data());
    const auto [begin, end] = columns_;
    if (step_->domain == Domain::rows) step_->function(buffers, row_strides_.data(), 0, 1, begin, step_->period > 0 ? end : step_->other_end(), scratch_);
    else step_->function(buffers, row_strides_.data(), begin, end, 0, step_->other_end(), scratch_);
  }

  void multiply(Product& product, Order order, int64_t known, Team& team) {
    std::byte* const* rows = &addresses_[product.first];
    std::byte* const result = rows[product.terms];
    const auto wait = [&] { team.wait(); };
    if (auto* f32 = std::get_if<0>(&product.columns)) f32->multiply(rows, reinterpret_cast<float*>(result), order, known, wait);
    else std::get_if<1>(&product.columns)->multiply(rows, reinterpret_cast<double*>(result), order, known, wait);
  }

  const PlanStep* step_ = nullptr;
  ColumnRange columns_{};
  std::byte* scratch_ = nullptr;
  size_t count_ = 0, product_count_ = 0;
  std::array<std::byte*, kMostAddresses> addresses_;
  std::array<int64_t, kMostAddresses> row_strides_, moves_, turns_;  // turns: -1 where each move takes back the one before
  std::array<Product, kMostProducts> products_;
};

}  // namespace calque
