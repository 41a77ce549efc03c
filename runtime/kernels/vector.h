// SIMD vectors of the instruction-set level being compiled, over GCC's vector extensions; for *.isa.cpp files
// only.
//
// Everything lives in a namespace named after the level and is always inlined, so that no function of one
// level can be linked into another. Each operation is the IEEE one, lane by lane: results do not depend on
// the width.
#pragma once

#ifndef CALQUE_ISA_LEVEL
#error "vector.h is for *.isa.cpp files, which are compiled once for each level with CALQUE_ISA_LEVEL defined"
#endif

#include <immintrin.h>

#include <cstdint>

// Wide vectors as parameters change the ABI of functions; no such function is left after inlining.
#pragma GCC diagnostic ignored "-Wpsabi"

#define CALQUE_INLINE static inline __attribute__((always_inline))

namespace calque::kernels::CALQUE_ISA_LEVEL {

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
static constexpr int kVectorBytes = 64;
#elif defined(__AVX2__) && defined(__FMA__)
static constexpr int kVectorBytes = 32;
#else
static constexpr int kVectorBytes = 16;
#endif

template <int Bytes>
struct IntegerOfSize;
template <>
struct IntegerOfSize<4> {
  using type = int32_t;
};
template <>
struct IntegerOfSize<8> {
  using type = int64_t;
};

template <class T, int Bytes>
struct RawVector {
  typedef T type __attribute__((vector_size(Bytes)));
  typedef T unaligned __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
};

// Vectors on which + - * wrap instead of overflowing: unsigned for integers, the same for floats.
template <class T, int Bytes>
struct WrappingVector : RawVector<T, Bytes> {};
template <int Bytes>
struct WrappingVector<int32_t, Bytes> : RawVector<uint32_t, Bytes> {};
template <int Bytes>
struct WrappingVector<int64_t, Bytes> : RawVector<uint64_t, Bytes> {};

// Bytes / sizeof(T) lanes of T: float, double, int32_t or int64_t.
template <class T, int Bytes = kVectorBytes>
struct Vector {
  using Scalar = T;
  using Raw = typename RawVector<T, Bytes>::type;
  using Integer = Vector<typename IntegerOfSize<sizeof(T)>::type, Bytes>;  // the integers that hold its bits
  using Wrapping = typename WrappingVector<T, Bytes>::type;
  static constexpr int kLanes = Bytes / static_cast<int>(sizeof(T));
  Raw v;

  // What a formula (ir/op/scalar/formulas.h) asks of its engine, with square_root, floor_of, bits and the
  // shifts below.
  CALQUE_INLINE Vector constant(double value) { return {static_cast<T>(value) - Raw{}}; }
  CALQUE_INLINE Vector from_bits(Integer x) { return {(Raw)x.v}; }
  CALQUE_INLINE Vector from_integer(Integer x) { return {__builtin_convertvector(x.v, Raw)}; }
};

// One truth value for each lane of a Vector whose elements have ElementBytes: all bits of the lane set, or
// none; with AVX-512, one bit for each lane.
template <int ElementBytes, int Bytes = kVectorBytes>
struct Mask {
  using Scalar = typename IntegerOfSize<ElementBytes>::type;
  using Raw = typename RawVector<Scalar, Bytes>::type;
  static constexpr int kBytes = Bytes, kLanes = Bytes / ElementBytes;
  Raw v;
};
#ifdef __AVX512VL__
template <int Lanes>
struct BitsOfLanes;
template <>
struct BitsOfLanes<16> {
  using type = __mmask16;
};
template <>
struct BitsOfLanes<8> {
  using type = __mmask8;
};
template <int ElementBytes>
struct Mask<ElementBytes, 64> {
  static constexpr int kBytes = 64, kLanes = 64 / ElementBytes;
  using Raw = typename BitsOfLanes<kLanes>::type;
  Raw v;
};
#endif

// --- Constants and memory ---

// The same value in every lane; V is a Vector.
template <class V>
CALQUE_INLINE V broadcast(typename V::Scalar x) {
  // A sum with a zero vector would turn -0 into +0; a difference keeps it.
  return {x - typename V::Raw{}};
}

// 0, 1, 2, ...
template <class V>
CALQUE_INLINE V iota() {
  typename V::Raw r{};
  for (int i = 0; i < V::kLanes; ++i) r[i] = static_cast<typename V::Scalar>(i);
  return {r};
}

// Any alignment that suits the scalar.
template <class V>
CALQUE_INLINE V load(const typename V::Scalar* p) {
  using Unaligned = typename RawVector<typename V::Scalar, sizeof(V)>::unaligned;
  return {(typename V::Raw) * reinterpret_cast<const Unaligned*>(p)};
}
template <class T, int B>
CALQUE_INLINE void store(T* p, Vector<T, B> x) {
  *reinterpret_cast<typename RawVector<T, B>::unaligned*>(p) = x.v;
}

// The first `count` lanes (0 to kLanes) from memory, the others zero; nothing beyond them is touched.
template <class V>
CALQUE_INLINE V load_partial(const typename V::Scalar* p, int64_t count) {
#ifdef __AVX512VL__
  if constexpr (sizeof(V) == 64 && sizeof(typename V::Scalar) == 4) {
    return {(typename V::Raw)_mm512_maskz_loadu_epi32((__mmask16)((1u << count) - 1), p)};
  } else if constexpr (sizeof(V) == 64) {
    return {(typename V::Raw)_mm512_maskz_loadu_epi64((__mmask8)((1u << count) - 1), p)};
  }
#endif
  typename V::Raw r{};
  for (int i = 0; i < V::kLanes; ++i) {
    if (i < count) r[i] = p[i];
  }
  return {r};
}
template <class T, int B>
CALQUE_INLINE void store_partial(T* p, Vector<T, B> x, int64_t count) {
#ifdef __AVX512VL__
  if constexpr (B == 64 && sizeof(T) == 4) {
    return _mm512_mask_storeu_epi32(p, (__mmask16)((1u << count) - 1), (__m512i)x.v);
  } else if constexpr (B == 64) {
    return _mm512_mask_storeu_epi64(p, (__mmask8)((1u << count) - 1), (__m512i)x.v);
  }
#endif
  for (int i = 0; i < Vector<T, B>::kLanes; ++i) {
    if (i < count) p[i] = x.v[i];
  }
}

// --- Arithmetic: one IEEE rounding each (or integers modulo 2^n); never contracted ---

template <class T, int B>
CALQUE_INLINE Vector<T, B> operator+(Vector<T, B> a, Vector<T, B> b) {
  using Wrapping = typename Vector<T, B>::Wrapping;
  return {(typename Vector<T, B>::Raw)((Wrapping)a.v + (Wrapping)b.v)};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator-(Vector<T, B> a, Vector<T, B> b) {
  using Wrapping = typename Vector<T, B>::Wrapping;
  return {(typename Vector<T, B>::Raw)((Wrapping)a.v - (Wrapping)b.v)};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator*(Vector<T, B> a, Vector<T, B> b) {
  using Wrapping = typename Vector<T, B>::Wrapping;
  return {(typename Vector<T, B>::Raw)((Wrapping)a.v * (Wrapping)b.v)};
}
// For integers the caller keeps zero divisors and min / -1 out: they trap.
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator/(Vector<T, B> a, Vector<T, B> b) {
  return {a.v / b.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator-(Vector<T, B> a) {
  return {(typename Vector<T, B>::Raw)(-(typename Vector<T, B>::Wrapping)a.v)};
}

// --- Bits of integers; shifts are by 0 to width - 1, >> copies the sign, shift_right_logical brings in zeros
// ---

template <class T, int B>
CALQUE_INLINE Vector<T, B> operator&(Vector<T, B> a, Vector<T, B> b) {
  return {a.v & b.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator|(Vector<T, B> a, Vector<T, B> b) {
  return {a.v | b.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator^(Vector<T, B> a, Vector<T, B> b) {
  return {a.v ^ b.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator~(Vector<T, B> a) {
  return {~a.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator<<(Vector<T, B> a, int count) {
  return {a.v << count};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator<<(Vector<T, B> a, Vector<T, B> count) {
  return {a.v << count.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator>>(Vector<T, B> a, int count) {
  return {a.v >> count};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> operator>>(Vector<T, B> a, Vector<T, B> count) {
  return {a.v >> count.v};
}
template <int B>
CALQUE_INLINE Vector<int32_t, B> shift_right_logical(Vector<int32_t, B> a, int count) {
  using Unsigned = typename RawVector<uint32_t, B>::type;
  return {(typename Vector<int32_t, B>::Raw)((Unsigned)a.v >> count)};
}
template <int B>
CALQUE_INLINE Vector<int64_t, B> shift_right_logical(Vector<int64_t, B> a, int count) {
  using Unsigned = typename RawVector<uint64_t, B>::type;
  return {(typename Vector<int64_t, B>::Raw)((Unsigned)a.v >> count)};
}

// --- Comparisons (false for NaN, except !=) and masks ---

template <class T, int B>
using MaskOf = Mask<static_cast<int>(sizeof(T)), B>;

#ifdef __AVX512VL__
template <int FloatPredicate, int IntegerPredicate, class T>
CALQUE_INLINE MaskOf<T, 64> compare_to_bits(Vector<T, 64> a, Vector<T, 64> b) {
  constexpr bool floating = static_cast<T>(0.5) != 0;
  if constexpr (floating && sizeof(T) == 4) {
    return {_mm512_cmp_ps_mask((__m512)a.v, (__m512)b.v, FloatPredicate)};
  } else if constexpr (floating) {
    return {_mm512_cmp_pd_mask((__m512d)a.v, (__m512d)b.v, FloatPredicate)};
  } else if constexpr (sizeof(T) == 4) {
    return {_mm512_cmp_epi32_mask((__m512i)a.v, (__m512i)b.v, IntegerPredicate)};
  } else {
    return {_mm512_cmp_epi64_mask((__m512i)a.v, (__m512i)b.v, IntegerPredicate)};
  }
}
#define CALQUE_COMPARE_TO_BITS(float_predicate, integer_predicate)    \
  if constexpr (B == 64)                                              \
    return compare_to_bits<float_predicate, integer_predicate>(a, b); \
  else
#else
#define CALQUE_COMPARE_TO_BITS(...)
#endif
#define CALQUE_COMPARISON(symbol, float_predicate, integer_predicate)          \
  template <class T, int B>                                                    \
  CALQUE_INLINE MaskOf<T, B> operator symbol(Vector<T, B> a, Vector<T, B> b) { \
    CALQUE_COMPARE_TO_BITS(float_predicate, integer_predicate)                 \
    return {(typename MaskOf<T, B>::Raw)(a.v symbol b.v)};                     \
  }
CALQUE_COMPARISON(==, _CMP_EQ_OQ, _MM_CMPINT_EQ)
CALQUE_COMPARISON(!=, _CMP_NEQ_UQ, _MM_CMPINT_NE)
CALQUE_COMPARISON(<, _CMP_LT_OQ, _MM_CMPINT_LT)
CALQUE_COMPARISON(<=, _CMP_LE_OQ, _MM_CMPINT_LE)
CALQUE_COMPARISON(>, _CMP_GT_OQ, _MM_CMPINT_NLE)
CALQUE_COMPARISON(>=, _CMP_GE_OQ, _MM_CMPINT_NLT)
#undef CALQUE_COMPARISON
#undef CALQUE_COMPARE_TO_BITS

template <int E, int B>
CALQUE_INLINE Mask<E, B> operator&(Mask<E, B> a, Mask<E, B> b) {
  return {static_cast<typename Mask<E, B>::Raw>(a.v & b.v)};
}
template <int E, int B>
CALQUE_INLINE Mask<E, B> operator|(Mask<E, B> a, Mask<E, B> b) {
  return {static_cast<typename Mask<E, B>::Raw>(a.v | b.v)};
}
template <int E, int B>
CALQUE_INLINE Mask<E, B> operator^(Mask<E, B> a, Mask<E, B> b) {
  return {static_cast<typename Mask<E, B>::Raw>(a.v ^ b.v)};
}
template <int E, int B>
CALQUE_INLINE Mask<E, B> operator!(Mask<E, B> a) {
  return {static_cast<typename Mask<E, B>::Raw>(~a.v)};
}

// yes where the mask is set, else no; the bits pass unchanged.
template <class T, int B>
CALQUE_INLINE Vector<T, B> select(MaskOf<T, B> mask, Vector<T, B> yes, Vector<T, B> no) {
#ifdef __AVX512VL__
  using Raw = typename Vector<T, B>::Raw;
  if constexpr (B == 64 && sizeof(T) == 4) {
    return {(Raw)_mm512_mask_blend_epi32(mask.v, (__m512i)no.v, (__m512i)yes.v)};
  } else if constexpr (B == 64) {
    return {(Raw)_mm512_mask_blend_epi64(mask.v, (__m512i)no.v, (__m512i)yes.v)};
  } else {
    return {mask.v ? yes.v : no.v};
  }
#else
  return {mask.v ? yes.v : no.v};
#endif
}

// Masks of whole registers as they are stored: one byte each, 0 or 1.

template <class M>
CALQUE_INLINE M load_mask(const char* p) {
  // Lanes bytes of p, then zeros.
  [[maybe_unused]] constexpr bool words = M::kLanes == M::kBytes / 4;  // else double words
  __m128i bytes = _mm_setzero_si128();
  __builtin_memcpy(&bytes, p, M::kLanes);
#if defined(__AVX512VL__)
  static_assert(M::kBytes == 64);
  return {static_cast<typename M::Raw>(_mm_test_epi8_mask(bytes, bytes))};
#elif defined(__AVX2__)
  static_assert(M::kBytes == 32);
  const __m256i lanes = words ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepi8_epi64(bytes);
  return {(typename M::Raw)_mm256_cmpgt_epi32(words ? lanes : _mm256_shuffle_epi32(lanes, 0xa0), __m256i{})};
#else
  static_assert(M::kBytes == 16);
  bytes = _mm_unpacklo_epi8(bytes, bytes);
  bytes = _mm_unpacklo_epi16(bytes, bytes);
  return {(typename M::Raw)_mm_cmpgt_epi32(words ? bytes : _mm_unpacklo_epi32(bytes, bytes), __m128i{})};
#endif
}

template <int E, int B>
CALQUE_INLINE void store_mask(char* p, Mask<E, B> mask) {
  [[maybe_unused]] constexpr bool words = E == 4;
#if defined(__AVX512VL__)
  static_assert(B == 64);
  const __m128i bytes = _mm_maskz_set1_epi8(mask.v, 1);
#elif defined(__AVX2__)
  static_assert(B == 32);
  const __m128i low = _mm256_castsi256_si128((__m256i)mask.v),
                high = _mm256_extracti128_si256((__m256i)mask.v, 1);
  const __m128i halves = _mm_packs_epi32(low, high);
  const __m128i packed = _mm_packs_epi16(words ? halves : _mm_packs_epi32(halves, halves), halves);
  const __m128i bytes = _mm_and_si128(packed, _mm_set1_epi8(1));
#else
  static_assert(B == 16);
  const __m128i halves = _mm_packs_epi32((__m128i)mask.v, (__m128i)mask.v);
  const __m128i packed = _mm_packs_epi16(words ? halves : _mm_packs_epi32(halves, halves), halves);
  const __m128i bytes = _mm_and_si128(packed, _mm_set1_epi8(1));
#endif
  __builtin_memcpy(p, &bytes, B / E);
}

// --- Conversions (To is a Vector type) ---

// The same bits as elements of another kind of the same size.
template <class To, class T, int B>
CALQUE_INLINE To bit_cast(Vector<T, B> x) {
  static_assert(sizeof(To) == B && sizeof(typename To::Scalar) == sizeof(T));
  return {(typename To::Raw)x.v};
}

// The same values, in as many lanes: rounded to nearest from integer or double, truncated to integer. A value
// that does not fit an integer gives an unspecified one, which may differ between levels: callers clamp
// first.
template <class To, class T, int B>
CALQUE_INLINE To convert(Vector<T, B> x) {
  static_assert(To::kLanes == Vector<T, B>::kLanes);
  return {__builtin_convertvector(x.v, typename To::Raw)};
}

// --- fma and sqrt, correctly rounded; integers: a * b + c modulo 2^n ---
// (GCC 12 warns of an uninitialized variable in the unmasked _mm512_sqrt and _mm512_roundscale; a mask of all
// ones gives the same instruction.)

#ifdef __AVX512VL__
CALQUE_INLINE Vector<float, 64> fma(Vector<float, 64> a, Vector<float, 64> b, Vector<float, 64> c) {
  return {(Vector<float, 64>::Raw)_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v)};
}
CALQUE_INLINE Vector<double, 64> fma(Vector<double, 64> a, Vector<double, 64> b, Vector<double, 64> c) {
  return {(Vector<double, 64>::Raw)_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v)};
}
CALQUE_INLINE Vector<float, 64> sqrt(Vector<float, 64> a) {
  return {(Vector<float, 64>::Raw)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)a.v)};
}
CALQUE_INLINE Vector<double, 64> sqrt(Vector<double, 64> a) {
  return {(Vector<double, 64>::Raw)_mm512_maskz_sqrt_pd((__mmask8)-1, (__m512d)a.v)};
}
#endif
#ifdef __FMA__
CALQUE_INLINE Vector<float, 32> fma(Vector<float, 32> a, Vector<float, 32> b, Vector<float, 32> c) {
  return {(Vector<float, 32>::Raw)_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v)};
}
CALQUE_INLINE Vector<double, 32> fma(Vector<double, 32> a, Vector<double, 32> b, Vector<double, 32> c) {
  return {(Vector<double, 32>::Raw)_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v)};
}
CALQUE_INLINE Vector<float, 16> fma(Vector<float, 16> a, Vector<float, 16> b, Vector<float, 16> c) {
  return {(Vector<float, 16>::Raw)_mm_fmadd_ps((__m128)a.v, (__m128)b.v, (__m128)c.v)};
}
CALQUE_INLINE Vector<double, 16> fma(Vector<double, 16> a, Vector<double, 16> b, Vector<double, 16> c) {
  return {(Vector<double, 16>::Raw)_mm_fmadd_pd((__m128d)a.v, (__m128d)b.v, (__m128d)c.v)};
}
CALQUE_INLINE Vector<float, 32> sqrt(Vector<float, 32> a) {
  return {(Vector<float, 32>::Raw)_mm256_sqrt_ps((__m256)a.v)};
}
CALQUE_INLINE Vector<double, 32> sqrt(Vector<double, 32> a) {
  return {(Vector<double, 32>::Raw)_mm256_sqrt_pd((__m256d)a.v)};
}
#endif
CALQUE_INLINE Vector<float, 16> sqrt(Vector<float, 16> a) {
  return {(Vector<float, 16>::Raw)_mm_sqrt_ps((__m128)a.v)};
}
CALQUE_INLINE Vector<double, 16> sqrt(Vector<double, 16> a) {
  return {(Vector<double, 16>::Raw)_mm_sqrt_pd((__m128d)a.v)};
}
// Widths without an instruction at this level, and all of baseline: the C library's fma, lane by lane.
template <class T, int B>
CALQUE_INLINE Vector<T, B> fma(Vector<T, B> a, Vector<T, B> b, Vector<T, B> c) {
  typename Vector<T, B>::Raw r{};
  for (int i = 0; i < Vector<T, B>::kLanes; ++i) {
    if constexpr (sizeof(T) == 4) {
      r[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
    } else {
      r[i] = __builtin_fma(a.v[i], b.v[i], c.v[i]);
    }
  }
  return {r};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> sqrt(Vector<T, B> a) {
  typename Vector<T, B>::Raw r{};
  for (int i = 0; i < Vector<T, B>::kLanes; ++i) r[i] = static_cast<T>(__builtin_sqrt(a.v[i]));
  return {r};
}
template <int B>
CALQUE_INLINE Vector<int32_t, B> fma(Vector<int32_t, B> a, Vector<int32_t, B> b, Vector<int32_t, B> c) {
  return {a.v * b.v + c.v};
}
template <int B>
CALQUE_INLINE Vector<int64_t, B> fma(Vector<int64_t, B> a, Vector<int64_t, B> b, Vector<int64_t, B> c) {
  return {a.v * b.v + c.v};
}

// --- floor: exact; keeps -0, infinities and NaN ---

template <class T, int B>
CALQUE_INLINE Vector<T, B> floor(Vector<T, B> a) {
#ifdef __AVX512VL__
  if constexpr (B == 64 && sizeof(T) == 4) {
    return {(typename Vector<T, B>::Raw)_mm512_maskz_roundscale_ps((__mmask16)-1, (__m512)a.v, 0x09)};
  } else if constexpr (B == 64) {
    return {(typename Vector<T, B>::Raw)_mm512_maskz_roundscale_pd((__mmask8)-1, (__m512d)a.v, 0x09)};
  }
#endif
#ifdef __AVX2__
  if constexpr (B == 32 && sizeof(T) == 4) {
    return {(typename Vector<T, B>::Raw)_mm256_floor_ps((__m256)a.v)};
  } else if constexpr (B == 32) {
    return {(typename Vector<T, B>::Raw)_mm256_floor_pd((__m256d)a.v)};
  }
#endif
  typename Vector<T, B>::Raw r{};
  for (int i = 0; i < Vector<T, B>::kLanes; ++i) {
    if constexpr (sizeof(T) == 4) {
      r[i] = __builtin_floorf(a.v[i]);
    } else {
      r[i] = __builtin_floor(a.v[i]);
    }
  }
  return {r};
}

// --- The names that formulas use (ir/op/scalar/formulas.h) ---

template <class T, int B>
CALQUE_INLINE Vector<T, B> square_root(Vector<T, B> a) {
  return sqrt(a);
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> floor_of(Vector<T, B> a) {
  return floor(a);
}
template <class T, int B>
CALQUE_INLINE typename Vector<T, B>::Integer bits(Vector<T, B> a) {
  return {(typename Vector<T, B>::Integer::Raw)a.v};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> shift_left(Vector<T, B> a, int count) {
  return {(typename Vector<T, B>::Raw)((typename Vector<T, B>::Wrapping)a.v << count)};
}
template <class T, int B>
CALQUE_INLINE Vector<T, B> shift_right(Vector<T, B> a, int count) {
  return {a.v >> count};
}
template <int B>
CALQUE_INLINE Vector<int64_t, B> multiply_halves(Vector<int64_t, B> a, Vector<int64_t, B> b) {
  using Raw = typename Vector<int64_t, B>::Raw;
#if defined(__AVX512VL__)
  static_assert(B == 64);
  return {(Raw)_mm512_maskz_mul_epu32((__mmask8)-1, (__m512i)a.v, (__m512i)b.v)};
#elif defined(__AVX2__)
  static_assert(B == 32);
  return {(Raw)_mm256_mul_epu32((__m256i)a.v, (__m256i)b.v)};
#else
  static_assert(B == 16);
  return {(Raw)_mm_mul_epu32((__m128i)a.v, (__m128i)b.v)};
#endif
}

}  // namespace calque::kernels::CALQUE_ISA_LEVEL
