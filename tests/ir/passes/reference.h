// What passes are compared with: random inputs, bits, and an eager tape over the reference interpreter.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "ir/graph/graph.h"
#include "ir/graph/literal.h"
#include "passes/autodiff.h"

namespace calque::test {

/// Numbers in [-2, 2) (small integers, both bools), among them now and then zeros of both signs.
Literal random_literal(const Type& type, std::mt19937& random);
std::vector<Literal> random_inputs(const Graph& graph, std::mt19937& random);

/// Equal in every bit, where any NaN equals any NaN.
bool same_bits(const Literal& a, const Literal& b);
bool same_bits(std::span<const Literal> a, std::span<const Literal> b);

/// The gradients of the inputs as an eager tape adds them up, by running rule after rule; an empty literal
/// (no bytes) for an input without one. Every floating input requires a gradient, every floating output has
/// the one given.
std::vector<Literal> tape_gradients(const Graph& program, std::span<const Literal> inputs,
                                    std::span<const Literal> output_gradients);

/// All floating inputs require gradients, all floating outputs have one.
Differentiation differentiate_all(const Graph& program);

/// The gradients that `backward` gives, by input of the program, fed with what `forward` gave; empty where
/// none is wanted.
std::vector<Literal> run_gradients(const Differentiation& differentiation, const Graph& forward,
                                   const Graph& backward, std::span<const Literal> inputs,
                                   std::span<const Literal> output_gradients, size_t program_outputs);

}  // namespace calque::test
