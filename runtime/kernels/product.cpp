// matmul on the thread pool, through the products of gemm.h; batches of matrices one after the other.
#include <algorithm>

#include "runtime/kernels/eager.h"
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

namespace {

/// One thread for about each ten microseconds of one core's work.
int team_size(int64_t m, int64_t k, int64_t n) {
  constexpr double kOperationsPerThread = 5e5;
  const double threads =
      2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n) / kOperationsPerThread;
  if (threads < 2) return 1;
  return static_cast<int>(std::min<double>(threads, ThreadPool::instance().team_size()));
}

/// Matrices by the axes before their last two, which broadcast to those of c.
template <class T>
struct Batch {
  View a, b, c;

  int batch_rank() const { return c.shape.rank() - 2; }
  int64_t size() const { return Shape(c.shape.dims().first(batch_rank())).element_count(); }

  /// Where the matrix that belongs to number `index` of c begins.
  T* matrix_of(const View& x, int64_t index) const {
    int64_t offset = 0;
    for (int axis = batch_rank() - 1; axis >= 0; --axis) {
      const int own = axis - (c.shape.rank() - x.shape.rank());
      const int64_t place = index % c.shape[axis];
      index /= c.shape[axis];
      if (own >= 0 && x.shape[own] != 1) offset += place * x.strides[own];
    }
    return x.as<T>() + offset;
  }

  void multiply(int64_t index, Team& team) const {
    const int last_a = a.shape.rank() - 1, last_b = b.shape.rank() - 1;
    const int64_t m = a.shape[last_a - 1], k = a.shape[last_a], n = b.shape[last_b];
    const ProductTerm<T> term{{matrix_of(a, index), a.strides[last_a - 1], a.strides[last_a]},
                              {matrix_of(b, index), b.strides[last_b - 1], b.strides[last_b]},
                              k};
    product_sum(ProductSum<T>{m, n, &term, 1, matrix_of(c, index), n, false}, team);
  }
};

/// Whole products are shared out where each is small or they are many; else the threads share each.
template <class T>
void multiply(const View& a, const View& b, const View& c) {
  const Batch<T> batch{a, b, c};
  const int64_t count = batch.size(), m = a.shape[a.shape.rank() - 2], k = a.shape.back(), n = b.shape.back();
  const int together = team_size(m, k, n);
  if (count == 1)
    return ThreadPool::instance().run(together, [&](Team& team) { batch.multiply(0, team); });
  const int threads = team_size(count * m, k, n);
  if (count < threads)
    return ThreadPool::instance().run(together, [&](Team& team) {
      for (int64_t i = 0; i < count; ++i) batch.multiply(i, team);
    });
  ThreadPool::instance().run(threads, [&](Team& team) {
    Team alone;
    for (int64_t i = count * team.rank / team.size; i < count * (team.rank + 1) / team.size; ++i)
      batch.multiply(i, alone);
  });
}

/// The axes before the last as one, which must be evenly spaced.
View as_rows(const View& x, int64_t row_stride) {
  View rows{x.data, x.dtype, {}, {row_stride, x.strides[x.shape.rank() - 1]}};
  rows.shape = {Shape(x.shape.dims().first(x.shape.rank() - 1)).element_count(), x.shape.back()};
  return rows;
}

}  // namespace

void eager_matmul(std::span<const View> inputs, const Attributes&, std::span<const View> results) {
  View a = inputs[0], c = results[0];
  int64_t row_stride = 0;
  // One matrix for all rows of a: one product.
  if (a.shape.rank() > 2 && inputs[1].shape.rank() == 2 && collapse(a, 0, a.shape.rank() - 1, row_stride)) {
    a = as_rows(a, row_stride);
    c = as_rows(c, c.shape.back());
  }
  if (c.dtype == DType::f32)
    multiply<float>(a, inputs[1], c);
  else
    multiply<double>(a, inputs[1], c);
}

}  // namespace calque::kernels
