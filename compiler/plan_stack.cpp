// Large products that share their right operand become one step, which packs it once: the gradients of a cell's weights, say.
#include <algorithm>
#include <ranges>

#include "compiler/plan_builder.h"
#include "runtime/kernels/product_stack.h"

namespace calque {

namespace {

/// A product of one term that packs both of its operands.
bool may_be_stacked(const PlanStep& step) {
  return step.kind == PlanStep::Kind::product && step.inputs.size() == 2 && step.packed[0] < 0;
}

void add(PlanStep& stack, const PlanStep& product) {
  stack.inputs.insert(stack.inputs.end() - 1, product.inputs[0]);
  stack.results.push_back(product.results[0]);
  stack.nanoseconds += product.nanoseconds;
}

bool is_worth_stacking(const PlanStep& stack) {
  int64_t rows = 0;
  for (const Place& result : stack.results) rows += result.type.shape[0];
  const Shape& right = stack.inputs.back().type.shape;
  return kernels::is_worth_stacking(rows, right[1], right[0]);
}

template <class T>
int64_t packing_elements(const PlanStep& stack) {
  std::vector<kernels::StackedRows<T>> blocks;
  for (const Place& result : stack.results) blocks.push_back({result.type.shape[0], {}, nullptr, 0});
  const Shape& right = stack.inputs.back().type.shape;
  return kernels::stack_elements<T>({blocks.data(), static_cast<int64_t>(blocks.size()), {}, right[1], right[0]});
}

}  // namespace

/// Each product takes in those behind it that may come that early.
void PlanBuilder::stack_products(std::vector<PlanStep>& steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    stack_products(steps[i].body);
    if (!may_be_stacked(steps[i])) continue;
    PlanStep stack = steps[i];
    stack.kind = PlanStep::Kind::stack;
    std::vector<size_t> taken;
    for (size_t next = i + 1; next < steps.size() && stack.results.size() < Plan::kMostTerms; ++next) {
      const PlanStep& product = steps[next];
      if (!may_be_stacked(product) || product.inputs[1] != stack.inputs.back()) continue;
      const auto before = std::span(steps).subspan(i, next - i);
      if (std::ranges::any_of(before, [&](const PlanStep& step) { return product.depends_on(step); })) continue;
      add(stack, product);
      taken.push_back(next);
    }
    if (!is_worth_stacking(stack)) continue;
    const DType dtype = stack.results[0].type.dtype;
    const int64_t elements = dtype == DType::f32 ? packing_elements<float>(stack) : packing_elements<double>(stack);
    stack.packing = new_place({dtype, Shape{elements}});
    for (const size_t product : taken | std::views::reverse) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(product));
    steps[i] = std::move(stack);
  }
}

}  // namespace calque
