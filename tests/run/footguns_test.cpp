// Runs the table of footguns: in the default mode, none of them is ever wrong.
#include <set>
#include <string>

#include "runtime/kernels/eager.h"
#include "runtime/tensor_impl.h"
#include "tests/run/footguns.h"

using namespace calque;

namespace {

Footguns all_footguns() {
  Footguns all;
  for (const auto& part :
       {footguns_of_host_state, footguns_of_numbers, footguns_of_holding, footguns_of_writes,
        footguns_of_shapes, footguns_of_gradients, footguns_of_errors, footguns_of_threads})
    for (Footgun& footgun : part()) all.push_back(std::move(footgun));
  return all;
}

/// The tensors as they are now: what is written later does not change the copies.
Tensors copies(const Tensors& tensors) {
  Tensors result;
  for (const Tensor& tensor : tensors) {
    Tensor copy;
    if (tensor) {
      copy = empty(tensor.impl()->type());
      kernels::copy(view_of(tensor), copy.impl()->view());
      if (is_floating(tensor.dtype())) copy.set_requires_grad(tensor.requires_grad());
    }
    result.push_back(copy);
  }
  return result;
}

/// What each call of a program gave.
std::vector<Tensors> run(const Program& program, const Function& function, int calls) {
  std::vector<Tensors> results;
  for (int call = 0; call < calls; ++call) results.push_back(copies(program.drive(function, call)));
  return results;
}

std::vector<Tensors> run_plainly(const Footgun& footgun) {
  const Program program = footgun.make();
  return run(program, program.body, footgun.calls);
}

void check_calls(const std::vector<Tensors>& ours, const std::vector<Tensors>& expected) {
  for (size_t call = 0; call < expected.size(); ++call) {
    INFO("call " << call);
    check_same(ours[call], expected[call], "what the program shows");
  }
}

}  // namespace

TEST_CASE("footguns: the table has at least 60 programs, each with a name of its own") {
  std::set<std::string> names;
  for (const Footgun& footgun : all_footguns()) {
    INFO(footgun.name);
    CHECK(names.insert(footgun.name).second);
  }
  CHECK(names.size() >= 60);
}

TEST_CASE("footguns: a compiled function is never wrong") {
  for (const Footgun& footgun : all_footguns()) {
    DYNAMIC_SECTION(footgun.name) {
      INFO("a tracer " << footgun.trap);
      const std::vector<Tensors> expected = run_plainly(footgun);
      const Program program = footgun.make();
      auto compiled = compile(program.body, {.name = "footgun"});
      const Function function = [&](const Tensors& in) { return compiled(in); };
      check_calls(run(program, function, footgun.calls), expected);
      CHECK_COMPILED(compiled.stats().plan_runs >= static_cast<uint64_t>(footgun.plans));
    }
  }
}
