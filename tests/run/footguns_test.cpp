// Runs the table of footguns: in the default mode, none of them is ever wrong.
#include <set>
#include <string>

#include "calque/pure.h"
#include "runtime/kernels/eager.h"
#include "runtime/tensor_impl.h"
#include "tests/run/footguns.h"
#include "tests/support/document.h"

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

TEST_CASE("footguns: what compile(pure, ...) makes of each is what the table says") {
  constexpr int kCalls = 40;
  for (const Footgun& footgun : all_footguns()) {
    DYNAMIC_SECTION(footgun.name) {
      const Program plain = footgun.make();
      const std::vector<Tensors> expected = run(plain, plain.body, kCalls);
      const Program program = footgun.make();
      auto compiled = compile(pure, program.body, {.name = "footgun"});
      const std::vector<Tensors> ours = run(
          program, [&](const Tensors& in) { return compiled(in); }, kCalls);
      INFO(compiled.explain());
      const bool is_reported = compiled.explain().find("found not to be") != std::string::npos;
      const bool is_entered = compiled.stats().entered_calls > 0;
      CHECK_COMPILED(is_reported == (footgun.pure == PureFate::reported));
      if (footgun.pure == PureFate::matched) CHECK(!is_entered);
      if (footgun.pure == PureFate::entered || footgun.pure == PureFate::skipped) CHECK_COMPILED(is_entered);
      const bool may_be_wrong =
          is_entered && (footgun.pure == PureFate::reported || footgun.pure == PureFate::skipped);
      if (!may_be_wrong) check_calls(ours, expected);
    }
  }
}

namespace {

std::string documentation() {
  const char* const fates[] = {"matched", "entered", "reported", "skipped"};
  std::string text =
      R"(# Footguns

Programs that fool a tracer which believes its first trace. This page is made from the table in `tests/run/footguns_*.cpp`;
the tests run each program plainly, with `compile(f)` and with `compile(pure, f)`, and compare every bit of what it shows.

With `compile(f)` none is ever wrong: the function's own code runs in every call. Whoever writes `compile(pure, f)` states
that `f` depends on its arguments and registered state alone and does nothing but return its result. The programs below break
that statement, or seem to, and this becomes of them:

- **matched**: refused. The function does something that no plan can do (it reads elements, writes in place, uses a tensor
  that is neither argument nor registered state, keeps a value, ...). Its code runs at every call, as with `compile(f)`.
- **entered**: guarded. The key (sizes, dtypes, layouts, numbers, aliases), registered state or the checks of the plan tell
  its calls apart: nothing is wrong, and known calls skip its code.
- **reported**: at an audit (about the 4th, 8th, 16th, ... call of a key) the difference is found and said once, with its
  line; its code runs at every call from then on. Calls entered before the audit may have missed the change.
- **skipped**: what it does on the host beside its ops is not done in calls that are entered. This is what pure means, and no
  audit can see it.

| program | what a tracer may do | `compile(pure, f)` |
| --- | --- | --- |
)";
  for (const Footgun& footgun : all_footguns())
    text += std::string("| ") + footgun.name + " | " + footgun.trap + " | " +
            fates[static_cast<int>(footgun.pure)] + " |\n";
  return text;
}

}  // namespace

TEST_CASE("footguns: docs/footguns.md is made from the table") {
  check_document("docs/footguns.md", documentation());
}
