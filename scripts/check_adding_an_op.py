#!/usr/bin/env python3
# Follows docs/adding-an-op.md in a copy of the tree and interprets the ops that it adds.
"""Carries out each "Add to `FILE`, behind the line with `TEXT`:" of the page in a copy of the tree, builds the library of ops and
graphs there, and runs a program that parses, checks and interprets the new ops. Takes a minute."""
import pathlib
import tempfile

from followed_page import follow, run

PROGRAM = """
#include <cmath>
#include <cstdio>
#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"

int main() {
  using namespace calque;
  const Graph graph = parse("graph @new(%x: f64[3]) -> (f64[3], f64[3]) { %0 = softsign %x : f64[3] %1 = mish %x : f64[3] return %0, %1 }");
  verify(graph);
  if (!equal(parse(print(graph)), graph) || !row(Op::softsign).gradient || !row(Op::mish).body) return 1;
  const double x[] = {-2, 0.5, 3};
  const Literal input = Literal::of<double>({3}, std::span<const double>(x));
  const std::vector<Literal> results = interpret(graph, {&input, 1});
  for (int i = 0; i < 3; ++i) {
    const double softsign = x[i] / (1 + std::fabs(x[i])), mish = x[i] * std::tanh(std::log1p(std::exp(x[i])));
    if (std::fabs(results[0].as<double>()[i] - softsign) > 1e-15 || std::fabs(results[1].as<double>()[i] - mish) > 1e-14) return 2;
  }
  std::puts("softsign and mish work");
}
"""


def main():
    with tempfile.TemporaryDirectory(prefix="calque-adding-an-op-") as folder:
        copy = pathlib.Path(folder) / "tree"
        follow("docs/adding-an-op.md", copy, 6)
        run("cmake", "-S", copy, "-B", copy / "build", "-G", "Ninja", "-D", "CMAKE_BUILD_TYPE=Debug",
            "-D", "CALQUE_BUILD_TESTS=OFF", "-D", "CALQUE_BUILD_PROGRAMS=OFF")
        run("cmake", "--build", copy / "build", "--target", "calque_ir")
        (copy / "try.cpp").write_text(PROGRAM, encoding="utf-8")
        run("c++", "-std=c++20", "-I", copy, "-I", copy / "include", copy / "try.cpp", copy / "build/lib/libcalque_ir.a",
            "-lfmt", "-o", copy / "try")
        run("c++", "-std=c++20", "-fsyntax-only", "-I", copy, "-I", copy / "include", "-x", "c++",
            copy / "tests/support/elementwise_oracle.h")
        for judges in ("judges_numpy", "judges_torch"):
            run("python3", "-m", "py_compile", copy / f"scripts/{judges}.py")
        print(run(copy / "try").strip())


if __name__ == "__main__":
    main()
