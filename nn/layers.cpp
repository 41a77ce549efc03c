// Initial parameters of the layers.
#include "calque/nn/layers.h"

#include "calque/nn/random.h"

namespace calque::nn {

Linear::Linear(int64_t inputs, int64_t outputs)
    : weight(register_parameter("weight", xavier(inputs, outputs))),
      bias(register_parameter("bias", zeros({outputs}))) {}

Embedding::Embedding(int64_t count, int64_t size)
    : weight(register_parameter("weight", normal({count, size}))) {}

LayerNorm::LayerNorm(int64_t size, double epsilon)
    : weight(register_parameter("weight", ones({size}))),
      bias(register_parameter("bias", zeros({size}))),
      epsilon_(epsilon) {}

}  // namespace calque::nn
