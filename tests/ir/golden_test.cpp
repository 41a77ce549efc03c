// Runs tests/ir/golden/*.cq: a graph, the passes to run on it, and the text they must give.
//
//   // passes: simplify,fuse        names of passes, in order; empty for none
//   graph @example(...) -> ... {    what they are given
//   }
//   // expect:
//   graph @example(...) -> ... {    what they give, as printed
//   }
//
// Each graph is also interpreted before and after, on the same inputs: the results are equal in every bit,
// or, where a line `// values: close` follows the first one, close. CALQUE_UPDATE_GOLDEN=1 writes the text
// found as the expected one.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "passes/pipeline.h"

using namespace calque;

namespace {

struct Golden {
  std::string passes, input, expected;
  bool close = false;
};

Golden read_golden(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string text = stream.str(), directive = "// passes:", border = "// expect:\n";
  REQUIRE(text.starts_with(directive));
  const size_t end = text.find('\n'), expect = text.find(border);
  REQUIRE(expect != std::string::npos);
  Golden golden;
  golden.passes = text.substr(directive.size(), end - directive.size());
  golden.passes.erase(0, golden.passes.find_first_not_of(' '));
  golden.input = text.substr(end + 1, expect - end - 1);
  golden.expected = text.substr(expect + border.size());
  golden.close = golden.input.starts_with("// values: close\n");
  return golden;
}

/// Floats of [-2, 2), integers of 0 to 2, masks; the same for the same type and seed.
Literal random_input(const Type& type, uint32_t seed) {
  std::mt19937 random(seed);
  Literal literal(type);
  with_element_type(type.dtype, [&]<class T>(T) {
    for (T& element : literal.as<T>()) {
      if constexpr (std::is_floating_point_v<T>)
        element = static_cast<T>(std::ldexp(random(), -30)) - 2;
      else
        element = static_cast<T>(random() % (std::is_same_v<T, bool> ? 2 : 3));
    }
  });
  return literal;
}

std::vector<Literal> run_on_random_inputs(const Graph& graph) {
  std::vector<Literal> inputs;
  for (ValueId input : graph.inputs())
    inputs.push_back(random_input(graph.type(input), static_cast<uint32_t>(inputs.size())));
  return interpret(graph, inputs);
}

/// NaN equals NaN, whatever its bits.
bool same(const Literal& a, const Literal& b, bool close) {
  if (a.type != b.type) return false;
  return with_element_type(a.type.dtype, [&]<class T>(T) {
    return std::ranges::equal(a.as<T>(), b.as<T>(), [&](T x, T y) {
      if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(x) || std::isnan(y)) return std::isnan(x) && std::isnan(y);
        if (close) return x == y || std::fabs(x - y) <= T(1e-4) * (1 + std::fabs(x));
        return x == y && std::signbit(x) == std::signbit(y);
      } else {
        return x == y;
      }
    });
  });
}

void check_golden(const std::filesystem::path& path) {
  const Golden golden = read_golden(path);
  const Graph before = parse(golden.input);
  verify(before);
  PassOptions options;
  options.verify = true;
  const Graph after = run_passes(before, golden.passes, options);
  const std::string text = print(after);
  CHECK(equal(parse(text), after));
  const Graph meaning = run_passes(before, "expand_composites,expand_gradients");  // of a grad, which is not interpreted itself
  const std::vector<Literal> a = run_on_random_inputs(meaning), b = run_on_random_inputs(after);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO("result " << i);
    CHECK(same(a[i], b[i], golden.close));
  }
  if (std::getenv("CALQUE_UPDATE_GOLDEN"))
    std::ofstream(path) << "// passes: " << golden.passes << "\n" << golden.input << "// expect:\n" << text;
  else
    CHECK(text == golden.expected);
}

}  // namespace

TEST_CASE("golden graphs", "[golden]") {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/ir/golden"))
    if (entry.path().extension() == ".cq") paths.push_back(entry.path());
  REQUIRE_FALSE(paths.empty());
  std::ranges::sort(paths);
  for (const auto& path : paths) {
    INFO(path.string());
    CHECK_NOTHROW(check_golden(path));
  }
}
