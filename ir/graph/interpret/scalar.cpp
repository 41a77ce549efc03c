// Walks scalar programs, node by node.
#include "ir/graph/interpret/scalar.h"

#include <cstring>
#include <vector>

#include "ir/op/error.h"

namespace calque {

namespace {

template <class T>
T from_bits(ScalarBits bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
ScalarBits to_bits(T value) {
  ScalarBits bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class F>
ScalarBits with_number(ScalarType type, F f) {
  switch (type) {
    case ScalarType::f32:
      return f(float{});
    case ScalarType::f64:
      return f(double{});
    case ScalarType::i32:
      return f(int32_t{});
    case ScalarType::i64:
      return f(int64_t{});
    case ScalarType::mask:
      break;
  }
  throw InternalError("scalar program: a mask where a number belongs");
}

template <class T>
ScalarBits compare(Primitive primitive, T a, T b) {
  switch (primitive) {
    case Primitive::less:
      return a < b;
    case Primitive::less_equal:
      return a <= b;
    case Primitive::greater:
      return a > b;
    case Primitive::greater_equal:
      return a >= b;
    case Primitive::equal:
      return a == b;
    default:
      return a != b;
  }
}

template <class T>
T float_arithmetic(Primitive primitive, T a, T b, T c) {
  switch (primitive) {
    case Primitive::add:
      return a + b;
    case Primitive::sub:
      return a - b;
    case Primitive::mul:
      return a * b;
    case Primitive::div:
      return a / b;
    case Primitive::negate:
      return -a;
    case Primitive::fma:
      return std::fma(a, b, c);
    case Primitive::square_root:
      return std::sqrt(a);
    case Primitive::floor:
      return std::floor(a);
    default:
      throw InternalError("scalar program: no such arithmetic on floats");
  }
}

/// Two's complement: sums and products wrap.
template <class T>
T integer_arithmetic(Primitive primitive, T a, T b, int amount) {
  using Unsigned = std::make_unsigned_t<T>;
  const Unsigned x = static_cast<Unsigned>(a), y = static_cast<Unsigned>(b);
  switch (primitive) {
    case Primitive::add:
      return static_cast<T>(x + y);
    case Primitive::sub:
      return static_cast<T>(x - y);
    case Primitive::mul:
      return static_cast<T>(x * y);
    case Primitive::div:
      if (b == 0 || b == -1) throw InternalError("scalar program: an integer division by 0 or -1");
      return a / b;
    case Primitive::negate:
      return static_cast<T>(Unsigned{0} - x);
    case Primitive::bit_and:
      return a & b;
    case Primitive::bit_or:
      return a | b;
    case Primitive::bit_xor:
      return a ^ b;
    case Primitive::bit_not:
      return ~a;
    case Primitive::shift_left:
      return static_cast<T>(x << amount);
    case Primitive::shift_right:
      return a >> amount;
    case Primitive::shift_right_logical:
      return static_cast<T>(x >> amount);
    case Primitive::multiply_halves:
      return static_cast<T>(uint64_t{static_cast<uint32_t>(x)} * static_cast<uint32_t>(y));
    default:
      throw InternalError("scalar program: no such arithmetic on integers");
  }
}

ScalarBits mask_arithmetic(Primitive primitive, ScalarBits a, ScalarBits b) {
  switch (primitive) {
    case Primitive::bit_and:
      return a & b;
    case Primitive::bit_or:
      return a | b;
    case Primitive::bit_xor:
      return a ^ b;
    case Primitive::bit_not:
      return a ^ 1;
    default:
      throw InternalError("scalar program: no such operation on masks");
  }
}

ScalarBits convert(ScalarType from, ScalarType to, ScalarBits bits) {
  return with_number(to, [&]<class To>(To) {
    if (from == ScalarType::mask) return to_bits(static_cast<To>(bits));
    return with_number(from,
                       [&]<class From>(From) { return to_bits(convert_number<To>(from_bits<From>(bits))); });
  });
}

bool is_comparison(Primitive primitive) {
  return primitive >= Primitive::less && primitive <= Primitive::not_equal;
}

/// One node whose operands have the bits a, b, c; `operand_type` is the type of the first one.
ScalarBits run_node(const ScalarNode& node, ScalarType operand_type, ScalarBits a, ScalarBits b,
                    ScalarBits c) {
  if (node.primitive == Primitive::select) return a ? b : c;
  if (node.primitive == Primitive::bit_cast) return a;
  if (node.primitive == Primitive::convert) return convert(operand_type, node.type, a);
  if (is_comparison(node.primitive)) {
    if (operand_type == ScalarType::mask) return compare(node.primitive, a, b);
    return with_number(operand_type,
                       [&]<class T>(T) { return compare(node.primitive, from_bits<T>(a), from_bits<T>(b)); });
  }
  if (node.type == ScalarType::mask) return mask_arithmetic(node.primitive, a, b);
  return with_number(node.type, [&]<class T>(T) {
    if constexpr (std::is_floating_point_v<T>)
      return to_bits(float_arithmetic(node.primitive, from_bits<T>(a), from_bits<T>(b), from_bits<T>(c)));
    else
      return to_bits(integer_arithmetic(node.primitive, from_bits<T>(a), from_bits<T>(b),
                                        static_cast<int>(node.immediate)));
  });
}

}  // namespace

ScalarBits run_program(const ScalarProgram& program, std::span<const ScalarBits> arguments) {
  std::vector<ScalarBits> values;
  values.reserve(program.nodes.size());
  for (const ScalarNode& node : program.nodes) {
    if (node.primitive == Primitive::argument) {
      values.push_back(arguments[node.immediate]);
    } else if (node.primitive == Primitive::constant) {
      values.push_back(node.immediate);
    } else {
      const auto operand = [&](int i) { return node.operands[i] < 0 ? 0 : values[node.operands[i]]; };
      values.push_back(
          run_node(node, program.nodes[node.operands[0]].type, operand(0), operand(1), operand(2)));
    }
  }
  return values[program.result];
}

}  // namespace calque
