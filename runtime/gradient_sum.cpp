// Sums gradients, and computes products kept for later in one pass.
#include "runtime/gradient_sum.h"

#include "calque/ops.h"
#include "runtime/kernels/gemm.h"
#include "runtime/tensor_impl.h"
#include "runtime/thread_pool.h"

namespace calque {

namespace {

template <class T>
void run_products(std::span<const std::pair<Tensor, Tensor>> products, kernels::View sum, bool accumulate) {
  std::vector<kernels::ProductTerm<T>> terms;
  double work = 0;
  for (const auto& [a, b] : products) {
    const kernels::View x = view_of(a), y = view_of(b);
    terms.push_back({{x.as<T>(), x.strides[0], x.strides[1]}, {y.as<T>(), y.strides[0], y.strides[1]}, x.shape[1]});
    work += 2.0 * x.shape[0] * x.shape[1] * y.shape[1];
  }
  const kernels::ProductSum<T> product{sum.shape[0],  sum.shape[1], terms.data(), static_cast<int64_t>(terms.size()),
                                       sum.as<T>(), sum.strides[0], accumulate};
  constexpr double kWorthATeam = 1e6;  // operations: some ten microseconds of one core
  ThreadPool& pool = ThreadPool::instance();
  pool.run(work < kWorthATeam ? 1 : pool.team_size(), [&](Team& team) { kernels::product_sum(product, team); });
}

}  // namespace

void GradientSum::add(Tensor gradient) {
  if (!gradient) return;
  if (!products_.empty()) compute_products(false);
  if (!sum_) {
    sum_ = std::move(gradient);
    return;
  }
  sum_ = calque::add(sum_, gradient);
  owned_ = true;
}

void GradientSum::add_product(Tensor a, Tensor b) { products_.emplace_back(std::move(a), std::move(b)); }

Tensor GradientSum::take(bool create_graph) {
  if (!products_.empty()) compute_products(create_graph);
  owned_ = false;
  return std::exchange(sum_, Tensor());
}

void GradientSum::compute_products(bool create_graph) {
  if (create_graph) {
    for (const auto& [a, b] : products_) {
      const Tensor product = matmul(a, b);
      sum_ = sum_ ? calque::add(sum_, product) : product;
    }
    owned_ = false;
    products_.clear();
    return;
  }
  const bool accumulate = static_cast<bool>(sum_);
  const Type type{products_[0].first.dtype(), Shape{products_[0].first.size(0), products_[0].second.size(1)}};
  if (!accumulate || !owned_) {
    const Tensor fresh = empty(type);
    if (accumulate) kernels::copy(view_of(sum_), fresh.impl()->view());
    sum_ = fresh;
    owned_ = true;
  }
  if (type.dtype == DType::f32) run_products<float>(products_, view_of(sum_), accumulate);
  else run_products<double>(products_, view_of(sum_), accumulate);
  products_.clear();
}

}  // namespace calque
