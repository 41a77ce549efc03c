// Passes keep every bit: random programs and cells, interpreted before and after each pass.
#include <catch2/catch.hpp>

#include <string>

#include "ir/graph/interpreter.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "passes/pipeline.h"
#include "tests/ir/passes/programs.h"
#include "tests/ir/passes/reference.h"

namespace calque::test {

namespace {

/// Runs prepare and lower, comparing after each pass; names the pass that changed a bit.
void check_all_passes(const Graph& program, std::mt19937& random) {
  const std::vector<Literal> inputs = random_inputs(program, random);
  const std::vector<Literal> expected = interpret(program, inputs);
  PassOptions options;
  options.verify = true;
  options.after = [&](std::string_view pass, const Graph& graph) {
    INFO("after " << pass << "\n" << print(graph) << "of\n" << print(program));
    REQUIRE(same_bits(interpret(graph, inputs), expected));
  };
  INFO(print(program));
  lower(prepare(program, options), options);
}

}  // namespace

TEST_CASE("passes keep the bits of cells") {
  std::mt19937 random(1);
  for (DType dtype : {DType::f32, DType::f64}) {
    check_all_passes(layer_norm_lstm(dtype, 3, 5, 8), random);
    check_all_passes(lstm(dtype, 3, 5, 8), random);
    check_all_passes(gru(dtype, 3, 5, 8), random);
    check_all_passes(mlp_layer(dtype, 3, 5, 8), random);
    check_all_passes(unrolled_lstm(dtype, 4, 3, 5, 8), random);
  }
}

TEST_CASE("passes keep the bits of random programs") {
  for (unsigned seed = 0; seed < 600; ++seed) {
    std::mt19937 random(seed);
    const Graph program = random_program(random, 4 + static_cast<int>(seed % 40));
    INFO("seed " << seed);
    check_all_passes(program, random);
  }
}

TEST_CASE("each pass may be left out") {
  std::mt19937 random(7);
  for (const std::string& name : pass_names()) {
    if (name == "expand_composites") continue;  // composites have no kernel
    for (unsigned seed = 0; seed < 20; ++seed) {
      std::mt19937 shape(seed);
      const Graph program = random_program(shape, 20);
      const std::vector<Literal> inputs = random_inputs(program, random);
      PassOptions options;
      options.disabled = {name};
      options.verify = true;
      INFO("without " << name << ", seed " << seed);
      REQUIRE(same_bits(interpret(lower(prepare(program, options), options), inputs),
                        interpret(program, inputs)));
    }
  }
}

TEST_CASE("gradients are those of the tape in every bit") {
  for (unsigned seed = 0; seed < 600; ++seed) {
    std::mt19937 random(seed);
    const Graph program = random_program(random, 4 + static_cast<int>(seed % 40));
    const Graph prepared =
        prepare(program, {.disabled = {}, .verify = true, .after = {}, .timings = nullptr});
    const std::vector<Literal> inputs = random_inputs(program, random);
    std::vector<Literal> output_gradients;
    for (ValueId output : program.outputs())
      output_gradients.push_back(random_literal(program.type(output), random));
    const std::vector<Literal> expected = tape_gradients(program, inputs, output_gradients);

    const Differentiation d = differentiate_all(prepared);
    INFO("seed " << seed << "\n" << print(program) << print(d.forward) << print(d.backward));
    verify(d.forward);
    verify(d.backward);
    const size_t outputs = program.outputs().size();
    REQUIRE(same_bits(run_gradients(d, d.forward, d.backward, inputs, output_gradients, outputs), expected));
    PassOptions options;
    options.verify = true;
    const Graph forward = lower(d.forward, options), backward = lower(d.backward, options);
    INFO("lowered\n" << print(forward) << print(backward));
    REQUIRE(same_bits(run_gradients(d, forward, backward, inputs, output_gradients, outputs), expected));
  }
}

}  // namespace calque::test
