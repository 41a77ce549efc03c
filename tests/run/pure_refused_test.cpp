// compile(pure, ...) of functions that are not pure: matched with a reason, or reported at an audit.
#include <random>
#include <thread>

#include "calque/calque.h"
#include "tests/run/match_harness.h"
#include "tests/support/warnings.h"

using namespace calque;

namespace {

/// The function runs beside itself with state of its own; each result must be right in every call, so that it
/// was refused or guarded from the start.
template <class Make>
CompileStats always_right(Make make, int calls = 20) {
  auto plain = make();
  auto compiled = compile(pure, make());
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call << "\n" << compiled.explain());
    check_same({compiled(numbers({4}, call))}, {plain(numbers({4}, call))}, "results");
  }
  CHECK(compiled.explain().find("pure") != std::string::npos);
  return compiled.stats();
}

}  // namespace

TEST_CASE("pure refuses: what is read, written, taken from elsewhere or kept") {
  const auto never_entered = [](auto make) { CHECK(always_right(make).entered_calls == 0); };
  SECTION("reads an argument") {
    never_entered([] { return [](const Tensor& x) { return x.to_vector<float>()[0] > 0 ? x * 2.0 : x; }; });
  }
  SECTION("reads a value") {
    never_entered([] { return [](const Tensor& x) { return x * sum(x * x).item(); }; });
  }
  SECTION("writes in place") {
    never_entered([] {
      return [total = zeros({4})](const Tensor& x) mutable {
        total.assign_(total + x);
        return total * 1.0;
      };
    });
  }
  SECTION("takes a writable pointer") {
    never_entered([] {
      return [](const Tensor& x) {
        Tensor y = x * 1.0;
        y.mutable_data<float>()[0] = 7;
        return y;
      };
    });
  }
  SECTION("uses a captured tensor") {
    never_entered([] {
      return [w = numbers({4}, 0.3)](const Tensor& x) mutable {
        w = w * 0.9;
        return x * w;
      };
    });
  }
  SECTION("makes tensors on the host") {
    never_entered([] {
      return [random = std::mt19937(1)](const Tensor& x) mutable {
        return x * from_vector<float>({float(random() % 2), float(random() % 2), 1, 0}, {4});
      };
    });
  }
  SECTION("keeps a value in a captured vector") {
    never_entered([] {
      return [kept = std::vector<Tensor>()](const Tensor& x) mutable {
        kept.push_back(tanh(x));
        return kept.size() > 3 ? kept[kept.size() - 3] + x : kept.back();
      };
    });
  }
  SECTION("keeps its result") {
    never_entered([] {
      return [last = Tensor()](const Tensor& x) mutable {
        Tensor y = last ? last * 0.5 + x : x * 1.0;
        last = y;
        return y;
      };
    });
  }
  SECTION("sets gradients") {
    never_entered([] {
      return [w = numbers({4}).set_requires_grad()](const Tensor& x) mutable {
        w.clear_grad();
        return x * 2.0;
      };
    });
  }
  SECTION("returns what is not made of tensors and numbers") {
    struct Opaque {
      Opaque(Tensor t) : tensor(std::move(t)) {}
      operator Tensor() const { return tensor; }
      Tensor tensor;
    };
    never_entered([] { return [](const Tensor& x) { return Opaque(x * 2.0); }; });
  }
  SECTION("returns a reference") {
    Tensor out;
    auto compiled = compile(pure, [&](const Tensor& x) -> Tensor& { return out = x * 2.0; });
    for (int call = 0; call < 6; ++call)
      CHECK(same_bits(compiled(numbers({4}, call)), numbers({4}, call) * 2.0));
    CHECK(compiled.stats().entered_calls == 0);
  }
}

TEST_CASE("pure refuses: arguments that are opaque or assigned to") {
  auto generator =
      compile(pure, [](std::mt19937& random, const Tensor& x) { return x * double(random() % 7); });
  std::mt19937 ours(3), plain(3);
  for (int call = 0; call < 10; ++call)
    CHECK(same_bits(generator(ours, numbers({4})), numbers({4}) * double(plain() % 7)));
  CHECK(generator.stats().entered_calls == 0);
  auto counting = compile(pure, [](int& n, const Tensor& x) { return x * double(n++ % 3); });
  int n = 0;
  for (int call = 0; call < 10; ++call)
    CHECK(same_bits(counting(n, numbers({4})), numbers({4}) * double(call % 3)));
  CHECK(n == 10);
  CHECK(counting.stats().entered_calls == 0);
  auto assigning = compile(pure, [](Tensor& x) { x = x * 2.0; });
  for (int call = 0; call < 10; ++call) {
    Tensor x = numbers({4}, call);
    assigning(x);
    CHECK(same_bits(x, numbers({4}, call) * 2.0));
  }
  CHECK(assigning.stats().entered_calls == 0);
}

TEST_CASE("an impurity that shows at once is found at the second call") {
  SECTION("a number that changes at every call") {
    const CompileStats stats = always_right([] {
      return [rate = 0.1](const Tensor& x) mutable {
        rate *= 0.5;
        return x * rate;
      };
    });
    CHECK(stats.entered_calls == 0);
  }
  SECTION("a counter that chooses ops") {
    const CompileStats stats =
        always_right([] { return [n = 0](const Tensor& x) mutable { return n++ % 2 ? tanh(x) : exp(x); }; });
    CHECK(stats.entered_calls == 0);
  }
}

TEST_CASE("an impurity that shows later is found at the next audit, with its line") {
  double rate = 0.1;
  const test::Warnings warnings;
  const int line = __LINE__ + 1;
  auto compiled = compile(pure, [&](const Tensor& x) { return x - rate * tanh(x); }, {.name = "late"});
  const Tensor x = numbers({4});
  const auto plain = [&] { return x - rate * tanh(x); };
  for (int call = 0; call < 10; ++call) CHECK(same_bits(compiled(x), plain()));
  rate = 0.05;
  int wrong = 0;
  for (int call = 10; call < 40; ++call) wrong += !same_bits(compiled(x), plain());
  CHECK_COMPILED(wrong > 0);  // that is what declaring it pure means
  CHECK(wrong <= 10);         // the audit at about the 16th call
  for (int call = 0; call < 10; ++call) {
    rate *= 0.9;
    CHECK(same_bits(compiled(x), plain()));
  }
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;
  const std::string change = "the constant 0.1 at pure_refused_test.cpp:" + std::to_string(line) + " became 0.05";
  INFO(compiled.explain());
  CHECK(compiled.explain().find(change) != std::string::npos);
  REQUIRE(warnings.sentences().size() == 1);
  CHECK(warnings.sentences()[0].starts_with("late was declared pure and is not: " + change));
}

TEST_CASE("state that lies elsewhere than was registered is found out") {
  struct Holder : nn::Module {
    Holder() { weight = register_parameter("weight", numbers({4})); }
    Tensor weight;
  };
  Holder holder;
  auto compiled = compile(pure, [&](const Tensor& x) { return x * holder.weight; });
  const Tensor x = numbers({4}, 0.2);
  for (int call = 0; call < 6; ++call) CHECK(same_bits(compiled(x), x * holder.weight));
  holder.weight = numbers({4}, 5);  // not through the module
  int wrong = 0;
  for (int call = 6; call < 30; ++call) wrong += !same_bits(compiled(x), x * holder.weight);
  CHECK(wrong <= 5);
  CHECK(same_bits(compiled(x), x * holder.weight));
}

TEST_CASE("two variables that held one tensor at first") {
  struct Two : nn::Module {
    Two() {
      register_carried(a);
      register_carried(b);
      a = b = zeros({4});
    }
    Tensor step(const Tensor& x) {
      a = a * 0.5 + x;
      b = b + a;
      return b - a;
    }
    Tensor a, b;
  };
  Two ours, plain;
  auto compiled = compile(pure, [&](const Tensor& x) { return ours.step(x); });
  for (int step = 0; step < 20; ++step) {
    INFO("step " << step << compiled.explain());
    if (step == 10) ours.a = ours.b = plain.a = plain.b = numbers({4});
    CHECK(same_bits(compiled(numbers({4}, step)), plain.step(numbers({4}, step))));
    CHECK(same_bits(ours.a, plain.a));
    CHECK(same_bits(ours.b, plain.b));
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 6);
}
