// The elementwise inner loops of one instruction-set level: every row of the table, for every dtype that it
// takes.
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/vector.h"
// after the vectors: formulas find the engine's functions by argument-dependent look-up
#include "ir/op/scalar/formulas.h"
#include "ir/op/scalar/random_formulas.h"

namespace calque::kernels::CALQUE_ISA_LEVEL {

// Truth values as they are stored, one byte each, 0 or 1: the engine of the logical rows.
struct Bytes {
  using Raw = RawVector<uint8_t, kVectorBytes>::type;
  static constexpr int kLanes = kVectorBytes;
  Raw v;
};
CALQUE_INLINE Bytes operator&(Bytes a, Bytes b) { return {a.v & b.v}; }
CALQUE_INLINE Bytes operator|(Bytes a, Bytes b) { return {a.v | b.v}; }
CALQUE_INLINE Bytes operator^(Bytes a, Bytes b) { return {a.v ^ b.v}; }
CALQUE_INLINE Bytes operator!(Bytes a) { return {a.v ^ 1}; }
CALQUE_INLINE Bytes operator!=(Bytes a, Bytes b) { return a ^ b; }
CALQUE_INLINE Bytes operator==(Bytes a, Bytes b) { return !(a ^ b); }
CALQUE_INLINE Bytes select(Bytes mask, Bytes a, Bytes b) { return (mask & a) | ((!mask) & b); }

// --- How the elements of an operand lie in memory: kSize bytes each, a register of kLanes at a time ---

template <class Register>
struct Memory;

template <class T, int B>
struct Memory<Vector<T, B>> {
  static constexpr int kSize = sizeof(T), kLanes = Vector<T, B>::kLanes;
  CALQUE_INLINE Vector<T, B> read(const char* p) { return load<Vector<T, B>>(reinterpret_cast<const T*>(p)); }
  CALQUE_INLINE void write(char* p, Vector<T, B> x) { store(reinterpret_cast<T*>(p), x); }
  CALQUE_INLINE void splat(char* p, const char* x) {
    write(p, broadcast<Vector<T, B>>(*reinterpret_cast<const T*>(x)));
  }
};

template <>
struct Memory<Bytes> {
  static constexpr int kSize = 1, kLanes = Bytes::kLanes;
  using Unaligned = RawVector<uint8_t, kVectorBytes>::unaligned;
  CALQUE_INLINE Bytes read(const char* p) { return {(Bytes::Raw) * reinterpret_cast<const Unaligned*>(p)}; }
  CALQUE_INLINE void write(char* p, Bytes x) { *reinterpret_cast<Unaligned*>(p) = x.v; }
  CALQUE_INLINE void splat(char* p, const char* x) { write(p, {static_cast<uint8_t>(*x) - Bytes::Raw{}}); }
};

template <int E, int B>
struct Memory<Mask<E, B>> {
  static constexpr int kSize = 1, kLanes = B / E;
  CALQUE_INLINE Mask<E, B> read(const char* p) { return load_mask<Mask<E, B>>(p); }
  CALQUE_INLINE void write(char* p, Mask<E, B> x) { store_mask(p, x); }
  CALQUE_INLINE void splat(char* p, const char* x) { __builtin_memset(p, *x, kLanes); }
};

// --- The loop over whole registers ---

// One operand: where it lies, and how far it moves for each register (not at all when one element serves
// all).
template <class Register>
struct Operand {
  using Access = Memory<Register>;
  static constexpr int64_t kBytes = int64_t{Access::kSize} * Access::kLanes;
  const char* p;
  int64_t step;
  char* own;  // kBytes of the caller's

  [[gnu::always_inline]] Operand(const void* const* in, const int64_t* in_step, int i, char* buffer)
      : p(static_cast<const char*>(in[i])), step(in_step[i] * kBytes), own(buffer) {
    if (step != 0) return;
    Access::splat(own, p);
    p = own;
  }
  [[gnu::always_inline]] Register next() {
    const Register x = Access::read(p);
    p += step;
    return x;
  }
  // Moves the last `count` elements, fewer than a register, to where a whole one can be read.
  [[gnu::always_inline]] void finish(int64_t count) {
    if (step == 0) return;
    Access::write(own, Register{});
    __builtin_memcpy(own, p, count * Access::kSize);
    p = own;
  }
};

// What stands for the operands that a row does not have.
struct None {};
template <>
struct Operand<None> {
  static constexpr int64_t kBytes = 1;
  [[gnu::always_inline]] Operand(const void* const*, const int64_t*, int, char*) {}
  [[gnu::always_inline]] None next() { return {}; }
  [[gnu::always_inline]] void finish(int64_t) {}
};

// Row::of gives a register of the result for one of each operand.
template <class Row, class A, class B = None, class C = None>
static void inner_loop(int64_t n, void* out, const void* const* in, const int64_t* in_step) {
  using Access = Memory<decltype(Row::of(A{}, B{}, C{}))>;
  static_assert(Access::kLanes == Memory<A>::kLanes);
  constexpr int64_t kBytes = int64_t{Access::kSize} * Access::kLanes;
  alignas(64) char own_a[Operand<A>::kBytes], own_b[Operand<B>::kBytes], own_c[Operand<C>::kBytes],
      last[kBytes];
  Operand<A> a(in, in_step, 0, own_a);
  Operand<B> b(in, in_step, 1, own_b);
  Operand<C> c(in, in_step, 2, own_c);
  char* q = static_cast<char*>(out);
  char* rest_of_out = nullptr;
  const int64_t rest = n % Access::kLanes;
  // Twice over the same code: the whole registers, then the rest in one padded register.
  for (int64_t registers = n / Access::kLanes;; registers = 1) {
    for (; registers > 0; --registers, q += kBytes) {
      const auto x = a.next();
      const auto y = b.next();
      const auto z = c.next();
      Access::write(q, Row::of(x, y, z));
    }
    if (rest == 0) return;
    if (rest_of_out != nullptr) break;
    rest_of_out = q;
    q = last;
    a.finish(rest);
    b.finish(rest);
    c.finish(rest);
  }
  __builtin_memcpy(rest_of_out, last, rest * Access::kSize);
}

// --- The rows of the table ---

namespace rows {
#define UNARY(name, signature, formula, ...) \
  struct name {                              \
    template <class X>                       \
    CALQUE_INLINE auto of(X x, None, None) { \
      return formula;                        \
    }                                        \
  };
#define BINARY(name, signature, formula, ...) \
  struct name {                               \
    template <class X>                        \
    CALQUE_INLINE auto of(X a, X b, None) {   \
      return formula;                         \
    }                                         \
  };
#define SELECT(name, formula, ...)            \
  struct name {                               \
    template <class M, class X>               \
    CALQUE_INLINE auto of(M mask, X a, X b) { \
      return formula;                         \
    }                                         \
  };
#include "ir/op/elementwise.def"
}  // namespace rows

template <class Row, class X>
static constexpr InnerLoop unary_loop = inner_loop<Row, X>;
template <class Row, class X>
static constexpr InnerLoop binary_loop = inner_loop<Row, X, X>;
template <class Row, class X>
static constexpr InnerLoop select_loop = inner_loop<Row, Mask<sizeof(typename X::Scalar)>, X, X>;
template <class Row>
static constexpr InnerLoop select_loop<Row, Bytes> = inner_loop<Row, Bytes, Bytes, Bytes>;

// In the order of DType: f32, f64, i64, i32, bool.
#define CALQUE_FLOATING(kind, row) kind##_loop<row, Vector<float>>, kind##_loop<row, Vector<double>>
#define CALQUE_LOOPS_floating(kind, row) \
  { CALQUE_FLOATING(kind, row), nullptr, nullptr, nullptr }
#define CALQUE_INTEGRAL(kind, row) kind##_loop<row, Vector<int64_t>>, kind##_loop<row, Vector<int32_t>>
#define CALQUE_LOOPS_numeric(kind, row) \
  { CALQUE_FLOATING(kind, row), CALQUE_INTEGRAL(kind, row), nullptr }
#define CALQUE_LOOPS_integral(kind, row) \
  { nullptr, nullptr, CALQUE_INTEGRAL(kind, row), nullptr }
#define CALQUE_LOOPS_equality(kind, row) \
  { CALQUE_FLOATING(kind, row), CALQUE_INTEGRAL(kind, row), kind##_loop<row, Bytes> }
#define CALQUE_LOOPS_compare(kind, row) CALQUE_LOOPS_numeric(kind, row)
#define CALQUE_LOOPS_word(kind, row) \
  { nullptr, nullptr, kind##_loop<row, Vector<int64_t>>, nullptr, nullptr }
#define CALQUE_LOOPS_logical(kind, row) \
  { nullptr, nullptr, nullptr, nullptr, kind##_loop<row, Bytes> }

// --- Casts: ir/op/structural.def says what they mean ---

// To::Scalar is an integer of the element size of x. Out of range saturates, NaN gives 0.
template <class To, class T, int B>
CALQUE_INLINE To truncate_saturated(Vector<T, B> x) {
  using From = Vector<T, B>;
  constexpr bool single = sizeof(T) == 4;
  const From limit = From::constant(single ? 2147483648.0 : 9223372036854775808.0);
  const To lowest = shift_left(To::constant(1), 8 * sizeof(T) - 1);
  const To whole = convert<To>(select((x >= -limit) & (x < limit), x, From{}));
  return select(x >= limit, ~lowest, select(x < -limit, lowest, whole));
}

template <int Lanes>
CALQUE_INLINE Vector<int32_t, 4 * Lanes> narrow_saturated(Vector<int64_t, 8 * Lanes> x) {
  using Wide = Vector<int64_t, 8 * Lanes>;
  const Wide most = Wide::constant(2147483647.0), least = Wide::constant(-2147483648.0);
  x = select(x > most, most, x);
  return convert<Vector<int32_t, 4 * Lanes>>(select(x < least, least, x));
}

// Several steps where none is exact on the way: f32 -> i64 goes by f64, f64 -> i32 by i64.
template <class To, class From>
CALQUE_INLINE To converted(From x) {
  constexpr int lanes = From::kLanes;
  using T = typename From::Scalar;
  using U = typename To::Scalar;
  constexpr bool to_integer = static_cast<U>(0.5) == 0, from_integer = static_cast<T>(0.5) == 0;
  if constexpr (to_integer && !from_integer) {
    if constexpr (sizeof(T) == sizeof(U))
      return truncate_saturated<To>(x);
    else if constexpr (sizeof(T) == 4)
      return converted<To>(convert<Vector<double, 8 * lanes>>(x));
    else
      return narrow_saturated<lanes>(truncate_saturated<Vector<int64_t, 8 * lanes>>(x));
  } else if constexpr (to_integer && sizeof(U) < sizeof(T)) {
    return narrow_saturated<lanes>(x);
  } else {
    return convert<To>(x);
  }
}

template <class To>
struct Cast {
  template <class From>
  CALQUE_INLINE To of(From x, None, None) {
    return converted<To>(x);
  }
};
struct CastFromMask {
  template <class To>
  struct Into {
    template <class M>
    CALQUE_INLINE To of(M mask, None, None) {
      return select(mask, To::constant(1), To{});
    }
  };
};
struct Same {
  template <class X>
  CALQUE_INLINE X of(X x, None, None) {
    return x;
  }
};
struct CastToMask {
  template <class From>
  CALQUE_INLINE auto of(From x, None, None) {
    return x != From{};
  }
};

template <class T, class U>
static constexpr InnerLoop cast_loop() {
  constexpr int lanes = kVectorBytes / (sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U));
  if constexpr (static_cast<T>(3) == 1 && static_cast<U>(3) == 1) {  // both bool
    return inner_loop<Same, Bytes>;
  } else if constexpr (static_cast<T>(3) == 1) {
    return inner_loop<CastFromMask::Into<Vector<U>>, Mask<sizeof(U)>>;
  } else if constexpr (static_cast<U>(3) == 1) {
    return inner_loop<CastToMask, Vector<T>>;
  } else if constexpr (dtype_of<T> == dtype_of<U>) {
    return inner_loop<Same, Vector<T>>;
  } else {
    return inner_loop<Cast<Vector<U, lanes* int{sizeof(U)}>>, Vector<T, lanes* int{sizeof(T)}>>;
  }
}
#define CALQUE_CASTS(T)                                                                              \
  {                                                                                                  \
    cast_loop<T, float>(), cast_loop<T, double>(), cast_loop<T, int64_t>(), cast_loop<T, int32_t>(), \
        cast_loop<T, bool>()                                                                         \
  }

// --- The table ---

extern const ElementwiseKernels kElementwiseKernels;
constexpr ElementwiseKernels kTable = {{
#define UNARY(name, signature, ...) CALQUE_LOOPS_##signature(unary, rows::name),
#define BINARY(name, signature, ...) CALQUE_LOOPS_##signature(binary, rows::name),
#define SELECT(name, ...) CALQUE_LOOPS_equality(select, rows::name),
#include "ir/op/elementwise.def"
                                       },
                                       {CALQUE_CASTS(float), CALQUE_CASTS(double), CALQUE_CASTS(int64_t),
                                        CALQUE_CASTS(int32_t), CALQUE_CASTS(bool)}};
const ElementwiseKernels kElementwiseKernels = kTable;

}  // namespace calque::kernels::CALQUE_ISA_LEVEL
