// Tensors from nothing.
#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

void interpret_full(const Evaluation& evaluation) {
  const double value = evaluation.attributes.number(0);
  Literal& result = evaluation.result();
  with_element_type(result.type.dtype, [&]<class T>(T) {
    for (T& element : result.as<T>()) {
      if constexpr (std::is_same_v<T, bool>)
        element = value != 0;
      else
        element = convert_number<T>(value);
    }
  });
}

void interpret_arange(const Evaluation& evaluation) {
  Literal& result = evaluation.result();
  with_element_type(result.type.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>)
      for (int64_t i = 0; i < result.size(); ++i) result.as<T>()[i] = convert_number<T>(i);
  });
}

}  // namespace calque
