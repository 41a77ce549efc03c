// The reductions' inner loops of one instruction-set level: blocks of rows by lanes, blocks of columns in
// order.
#include "runtime/kernels/reduction.h"
#include "runtime/kernels/vector.h"
// after the vectors: formulas find the engine's functions by argument-dependent look-up
#include "ir/op/reduction.h"
#include "ir/op/scalar/formulas.h"

namespace calque::kernels::CALQUE_ISA_LEVEL {

#define CALQUE_UNROLL _Pragma("GCC unroll 64")

// Where a reduction starts, by the names of ReductionStart.
namespace identities {
struct zero {
  template <class X>
  CALQUE_INLINE X of() {
    return X{};
  }
};
struct one {
  template <class X>
  CALQUE_INLINE X of() {
    return X::constant(1.0);
  }
};
struct lowest {
  template <class X>
  CALQUE_INLINE X of() {
    using T = typename X::Scalar;
    constexpr bool floating = static_cast<T>(0.5) != 0;
    return X::constant(floating ? -__builtin_inf() : sizeof(T) == 4 ? -2147483648.0 : -9223372036854775808.0);
  }
};
struct highest {
  template <class X>
  CALQUE_INLINE X of() {
    constexpr bool floating = static_cast<typename X::Scalar>(0.5) != 0;
    if constexpr (floating) return X::constant(__builtin_inf());
    else return ~lowest::of<X>();
  }
};
}  // namespace identities

// The elementwise rows that join two elements.
namespace joins {
#define UNARY(...)
#define BINARY(name, signature, formula, ...) \
  struct name {                               \
    template <class X>                        \
    CALQUE_INLINE X of(X a, X b) {            \
      return formula;                         \
    }                                         \
  };
#define SELECT(...)
#include "ir/op/elementwise.def"
}  // namespace joins

template <class Join, class Start>
struct Reducer {
  template <class X>
  CALQUE_INLINE X identity() {
    return Start::template of<X>();
  }
  template <class X>
  CALQUE_INLINE X join(X a, X b) {
    return Join::of(a, b);
  }
};

template <int... Lane>
struct Lanes {};
template <int Count, int... Lane>
struct CountLanes : CountLanes<Count - 1, Count - 1, Lane...> {};
template <int... Lane>
struct CountLanes<0, Lane...> {
  using type = Lanes<Lane...>;
};

// Lane j < Half takes lane j + Half, then half of those, down to lane 0.
template <class Reducer, int Half, class X, int... Lane>
CALQUE_INLINE X halve(X x, Lanes<Lane...> lanes) {
  if constexpr (Half == 0) {
    return x;
  } else {
    const X upper = {__builtin_shufflevector(x.v, x.v, ((Lane + Half) % X::kLanes)...)};
    return halve<Reducer, Half / 2>(Reducer::join(x, upper), lanes);
  }
}

template <class Reducer, class T>
static void reduce_rows(const void* data, int64_t row_step, int64_t rows, int64_t n, void* out) {
  using X = Vector<T>;
  constexpr int kRegisters = reduction::kLanes / X::kLanes;
  const int64_t whole = n / reduction::kLanes * reduction::kLanes;
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = static_cast<const T*>(data) + row * row_step;
    X acc[kRegisters];
    CALQUE_UNROLL for (int r = 0; r < kRegisters; ++r) acc[r] = Reducer::template identity<X>();
    for (int64_t i = 0; i < whole; i += reduction::kLanes) {
      CALQUE_UNROLL for (int r = 0; r < kRegisters; ++r) {
        acc[r] = Reducer::join(acc[r], load<X>(x + i + r * X::kLanes));
      }
    }
    if (whole < n) {  // joining the identity to the lanes that get no element changes none
      T last[reduction::kLanes];
      CALQUE_UNROLL for (int r = 0; r < kRegisters; ++r) {
        store(last + r * X::kLanes, Reducer::template identity<X>());
      }
      __builtin_memcpy(last, x + whole, (n - whole) * sizeof(T));
      CALQUE_UNROLL for (int r = 0; r < kRegisters; ++r) acc[r] =
          Reducer::join(acc[r], load<X>(last + r * X::kLanes));
    }
    CALQUE_UNROLL for (int half = kRegisters / 2; half > 0; half /= 2) {
      CALQUE_UNROLL for (int r = 0; r < half; ++r) acc[r] = Reducer::join(acc[r], acc[r + half]);
    }
    const X result = halve<Reducer, X::kLanes / 2>(acc[0], typename CountLanes<X::kLanes>::type{});
    static_cast<T*>(out)[row] = result.v[0];
  }
}

// Joins `Rows` rows, in order, to what the columns hold in `out`, or to the identity where nothing came
// before.
template <class Reducer, int Rows, class T>
CALQUE_INLINE void join_rows(const T* x, int64_t row_step, bool first, int64_t columns, T* out) {
  using X = Vector<T>;
  for (int64_t j = 0; j < columns; j += X::kLanes) {
    X acc = first ? Reducer::template identity<X>() : load<X>(out + j);
    CALQUE_UNROLL for (int row = 0; row < Rows; ++row) acc =
        Reducer::join(acc, load<X>(x + row * row_step + j));
    store(out + j, acc);
  }
}

// Whole rows, a few at a time, so that memory is read in its order.
template <class Reducer, class T>
static void reduce_columns(const void* data, int64_t row_step, int64_t rows, int64_t columns, void* out) {
  using X = Vector<T>;
  constexpr int kRows = 8;
  const T* x = static_cast<const T*>(data);
  T* y = static_cast<T*>(out);
  const int64_t whole = columns / X::kLanes * X::kLanes;
  if (whole > 0) {
    int64_t row = 0;
    if (rows == 0) join_rows<Reducer, 0>(x, row_step, true, whole, y);
    for (; row + kRows <= rows; row += kRows) {
      join_rows<Reducer, kRows>(x + row * row_step, row_step, row == 0, whole, y);
    }
    for (; row < rows; ++row) join_rows<Reducer, 1>(x + row * row_step, row_step, row == 0, whole, y);
  }
  if (whole == columns) return;
  X acc = Reducer::template identity<X>();
  for (int64_t row = 0; row < rows; ++row) {
    acc = Reducer::join(acc, load_partial<X>(x + row * row_step + whole, columns - whole));
  }
  store_partial(y + whole, acc, columns - whole);
}

template <class Reducer, class T>
static constexpr ReductionLoops kLoops = {reduce_rows<Reducer, T>, reduce_columns<Reducer, T>};

// In the order of DType: f32, f64, i64, i32, bool.
extern const ReductionKernels kReductionKernels;
#define CALQUE_LOOPS(Reducer)                                                                               \
  {                                                                                                         \
    kLoops<Reducer, float>, kLoops<Reducer, double>, kLoops<Reducer, int64_t>, kLoops<Reducer, int32_t>, {} \
  }
#define CALQUE_REDUCER(...) __VA_ARGS__
#define REDUCTION(name, promotion, join, identity, ...) \
  CALQUE_LOOPS(CALQUE_REDUCER(Reducer<joins::join, identities::identity>)),
constexpr ReductionKernels kTable = {{
#include "ir/op/all_reductions.inc"
}};
const ReductionKernels kReductionKernels = kTable;

}  // namespace calque::kernels::CALQUE_ISA_LEVEL
