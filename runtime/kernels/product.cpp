// matmul on the thread pool, through the products of gemm.h.
#include <algorithm>

#include "runtime/kernels/eager.h"
#include "runtime/kernels/gemm.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

namespace {

/// One thread for about each ten microseconds of one core's work.
int team_size(int64_t m, int64_t k, int64_t n) {
  constexpr double kOperationsPerThread = 5e5;
  const double threads =
      2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n) / kOperationsPerThread;
  if (threads < 2) return 1;
  return static_cast<int>(std::min<double>(threads, ThreadPool::instance().num_threads()));
}

template <class T>
void multiply(const View& a, const View& b, const View& c) {
  const int64_t m = a.shape[0], k = a.shape[1], n = b.shape[1];
  const ProductTerm<T> term{
      {a.as<T>(), a.strides[0], a.strides[1]}, {b.as<T>(), b.strides[0], b.strides[1]}, k};
  const ProductSum<T> product{m, n, &term, 1, c.as<T>(), n, false};
  ThreadPool::instance().run(team_size(m, k, n), [&](Team& team) { product_sum(product, team); });
}

}  // namespace

void eager_matmul(std::span<const View> inputs, const Attributes&, std::span<const View> results) {
  if (results[0].dtype == DType::f32)
    multiply<float>(inputs[0], inputs[1], results[0]);
  else
    multiply<double>(inputs[0], inputs[1], results[0]);
}

}  // namespace calque::kernels
