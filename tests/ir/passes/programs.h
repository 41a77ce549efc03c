// Programs that passes are tried on: recurrent cells, layers, losses, and random ones.
#pragma once

#include <random>
#include <span>
#include <string>

#include "ir/graph/graph.h"

namespace calque::test {

/// `rows` x `hidden` cells over `input` features in a floating dtype.
Graph layer_norm_lstm(DType dtype, int64_t rows, int64_t input, int64_t hidden);
Graph lstm(DType dtype, int64_t rows, int64_t input, int64_t hidden);
Graph gru(DType dtype, int64_t rows, int64_t input, int64_t hidden);
Graph mlp_layer(DType dtype, int64_t rows, int64_t input, int64_t hidden);
/// Logits from a linear layer into cross entropy.
Graph classifier(DType dtype, int64_t rows, int64_t input, int64_t classes);
/// `steps` LSTM cells in a row, as a traced loop leaves them.
Graph unrolled_lstm(DType dtype, int64_t steps, int64_t rows, int64_t input, int64_t hidden);

/// A random program of elementwise ops, reductions, views, products and assemblies of small tensors.
Graph random_program(std::mt19937& random, int nodes);

}  // namespace calque::test
