// explain(): every op is accounted for, with its line; every reason of the table is reached by a program, and
// has its page.
#include <malloc.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "calque/calque.h"
#include "compiler/reasons.h"
#include "compiler/symbolizer.h"
#include "runtime/pool.h"
#include "tests/run/match_harness.h"
#include "tests/run/unrolled_programs.h"
#include "tests/support/document.h"
#include "tests/support/run_again.h"
#include "tests/support/sanitized.h"
#include "tests/support/threads.h"

using namespace calque;

namespace {

/// What explain() says after some calls. Exceptions of the function are its own affair.
template <class Body>
std::string explained(Body body, const Tensors& in, int calls = 3, CompileOptions options = {}) {
  auto compiled = compile(body, options);
  for (int call = 0; call < calls; ++call) try {
      compiled(in);
    } catch (const UserError&) {
    }
  return compiled.explain();
}

template <class Body>
std::string explained_pure(Body body, const Tensor& in, int calls = 6) {
  auto compiled = compile(pure, body);
  for (int call = 0; call < calls; ++call) try {
      compiled(in);
    } catch (const UserError&) {
    }
  return compiled.explain();
}

/// Programs that between them reach every reason.
std::vector<std::string> explanations() {
  const Tensors in = two_matrices(0);
  const Tensor leaf = numbers({4, 9}).set_requires_grad(), older = exp(leaf);
  Tensor parameter = numbers({4}).set_requires_grad(), kept;
  int calls = 0;
  std::vector<std::string> texts;
  texts.push_back(explained([](const Tensors& x) -> Tensors { return {x[0] * sum(x[1]).item()}; }, in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        Tensor state = x[0];
        for (int64_t i = 0; i < 4; ++i) state = tanh(state * x[1][i]) + state;
        return {state};
      },
      in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        const Tensor y = tanh(x[0]);
        std::thread([&] { y.to_vector<float>(); }).join();
        return {y + 1.0};
      },
      in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        Tensor target = zeros({4, 9});
        target.assign_(x[0]);
        return {target};
      },
      in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        Tensor y = x[0] + x[1];
        y.mutable_data<float>()[0] = 1;
        return {y * 2.0};
      },
      in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        const Tensor y = x[0] + x[1];
        std::thread([target = x[1]]() mutable { target.assign_(target * 0.5); }).join();
        return {y * 2.0};
      },
      two_matrices(1)));
  texts.push_back(explained(
      [&](const Tensors&) -> Tensors {
        const Tensor y = sum(leaf * leaf);
        y.backward();
        const Tensor z = sum(leaf * older);
        const Tensor outputs[] = {z}, inputs[] = {leaf};
        return grad(outputs, inputs);
      },
      in));
  texts.push_back(explained([&](const Tensors& x) -> Tensors { return grad({sum(tanh(leaf) * x[0])}, {leaf}); }, in));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        Tensor w = x[0] * 2.0;
        w.set_requires_grad();
        return {w * 3.0};
      },
      in));
  texts.push_back(
      explained([](const Tensors& x) -> Tensors { return {transpose(x[0] * 2.0).contiguous()}; }, in));
  texts.push_back(
      explained([&](const Tensors& x) -> Tensors { return {calls++ % 2 ? tanh(x[0]) : exp(x[0])}; }, in, 6));
  texts.push_back(
      explained([&](const Tensors& x) -> Tensors { return {x[0] * static_cast<double>(calls++)}; }, in, 6));
  texts.push_back(explained(
      [&](const Tensors& x) -> Tensors {
        Tensor y = x[0];
        for (int i = 0; i < 6; ++i) y = calls >> i & 1 ? tanh(y) : y + 1.0;
        ++calls;
        return {y};
      },
      in, 20, {.most_branches = 3}));
  texts.push_back(explained(
      [](const Tensors& x) -> Tensors {
        const Tensor y = transpose(matmul(x[0], transpose(x[1]))) + 2.0, dead = exp(y);
        return {take(y, from_vector<int64_t>({0, 1})), tanh(y) * tanh(y), full({3}, 2.0)};
      },
      in));
  texts.push_back(explained([](const Tensors& x) -> Tensors { return {tanh(x[0])}; }, in, 1));
  auto any_size = compile([](const Tensor& x) { return tanh(x); });
  for (int64_t size = 2; size < 6; ++size) any_size(numbers({size}));
  texts.push_back(any_size.explain());

  texts.push_back(explained_pure([](const Tensor& x) { return x * x.to_vector<float>()[0]; }, numbers({4})));
  texts.push_back(explained_pure(
      [&](const Tensor& x) {
        parameter.set_grad(zeros({4}));
        return x * 2.0;
      },
      numbers({4})));
  texts.push_back(explained_pure(
      [&](const Tensor& x) {
        parameter.clear_grad();
        return x * 2.0;
      },
      numbers({4})));
  texts.push_back(explained_pure(
      [](const Tensor& x) {
        try {
          return matmul(x, x);
        } catch (const UserError&) {
          return x * 2.0;
        }
      },
      numbers({4})));
  texts.push_back(explained_pure([w = numbers({4})](const Tensor& x) { return x * w; }, numbers({4})));
  texts.push_back(explained_pure(
      [&](const Tensor& x) {
        kept = tanh(x);
        return x * 2.0;
      },
      numbers({4})));
  texts.push_back(explained_pure(
      [](const Tensor&) {
        return from_vector<float>({1, 2}, {2});
      },
      numbers({4})));
  Tensor pointed_at = numbers({4});
  pointed_at.mutable_data<float>();
  pointed_at.set_requires_grad();
  texts.push_back(explained_pure([](const Tensor& x) { return x * 2.0; }, pointed_at));
  struct Opaque {
    Opaque() = default;
    virtual ~Opaque() = default;
    Tensor y;
  };
  texts.push_back(explained_pure(
      [](const Tensor& x) {
        Opaque opaque;
        opaque.y = x * 2.0;
        return opaque;
      },
      numbers({4})));
  texts.push_back(explained_pure([&](const Tensor& x) -> const Tensor& { return x; }, numbers({4})));
  texts.push_back(
      explained_pure([&](const Tensor& x) { return x * static_cast<double>(calls++); }, numbers({4})));
  {
    auto takes_opaque = compile(pure, [](const Tensor& x, const Opaque&) { return x * 2.0; });
    for (int call = 0; call < 4; ++call) takes_opaque(numbers({4}), Opaque());
    texts.push_back(takes_opaque.explain());
    auto assigns = compile(pure, [](Tensor& x) {
      x = x * 2.0;
      return x + 1.0;
    });
    for (int call = 0; call < 4; ++call) {
      Tensor x = numbers({4});
      assigns(x);
    }
    texts.push_back(assigns.explain());
    Compiled<std::function<Tensor(const Tensor&, int)>>* self = nullptr;
    auto locked = compile(std::function<Tensor(const Tensor&, int)>([&](const Tensor& x, int depth) {
      if (depth == 0) std::thread([&] { (*self)(x, 1); }).join();
      return x + 1.0;
    }));
    self = &locked;
    for (int call = 0; call < 3; ++call) locked(numbers({4}), 0);
    texts.push_back(locked.explain());
    int coin = 1;
    auto tosses = compile([&](const Tensor& x) {
      Tensor y = x[0];
      for (int64_t t = 0; t < 20; ++t) y = ((coin = coin * 5 % 101) % 2 == 0 ? y * x[t] : y - x[t]) * 0.5;
      return y;
    });
    for (int call = 0; call < 6; ++call) tosses(numbers({20, 4}));
    texts.push_back(tosses.explain());
  }
  for (const UnrolledProgram& program : unrolled_programs()) texts.push_back(program.explanation());
  return texts;
}

std::string text_of_file(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("explain: every reason of the table is reached") {
  const std::vector<std::string> texts = explanations();
  if (kernels::isa_level() == kernels::IsaLevel::baseline)
    return;  // nothing is compiled, so most reasons do not arise
  for (const ReasonRow& reason : reasons()) {
    if (&reason == &row(Reason::not_compiled)) continue;  // see below
    INFO(reason.code << ": " << reason.phrase);
    const std::string code = std::string("[") + reason.code + "]";
    CHECK(std::any_of(texts.begin(), texts.end(),
                      [&](const std::string& text) { return text.find(code) != text.npos; }));
  }
}

TEST_CASE("hidden: a machine without generated code", "[.]") {
  const std::string text =
      explained([](const Tensors& x) -> Tensors { return {tanh(x[0])}; }, two_matrices(0));
  INFO(text);
  CHECK(text.find("[not-compiled]") != text.npos);
}

TEST_CASE("explain: why nothing is compiled on a machine without generated code") {
  // GCC 12's leak detector crashes where libLLVM was loaded by the symbolizer alone, as happens in this child only.
  setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
  CHECK(run_again("CALQUE_ISA", "baseline", "hidden: a machine without generated code") == 0);
}

TEST_CASE("explain: what the sources give as a reason is in the table") {
  const std::regex said(
      R"re((?:\b(?:border|effect|end_segment_for)\(|\b(?:writable_view_of\(|Refusal\{|\.refuse\()[^;{}"]*)"([^"]+)")re");
  int found = 0;
  for (const char* folder : {"runtime", "compiler", "nn", "include/calque"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string path = entry.path();
      if (!path.ends_with(".cpp") && !path.ends_with(".h")) continue;
      const std::string text = text_of_file(entry.path());
      for (std::sregex_iterator match(text.begin(), text.end(), said), end; match != end; ++match) {
        INFO(path << ": " << (*match)[1]);
        CHECK(reason_in((*match)[1].str()));
        ++found;
      }
    }
  CHECK(found > 10);
}

TEST_CASE("explain: codes are distinct, sentences and remedies end without a full stop") {
  std::set<std::string> codes;
  for (const ReasonRow& reason : reasons()) {
    CHECK(codes.insert(reason.code).second);
    CHECK(std::string(reason.sentence).back() != '.');
    CHECK((*reason.remedy == 0 || std::string(reason.remedy).back() != '.'));
    CHECK(reason_in(reason.phrase) == &reason);
  }
}

TEST_CASE("docs/reasons.md is made from the table") { check_document("docs/reasons.md", reasons_page()); }

TEST_CASE("explain accounts for every op, with its line, guards, bytes, operations and memory") {
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;
  const Tensor w = numbers({64, 32}, 0.1, 0.01).set_requires_grad();
  auto compiled = compile([&](const Tensor& x) {
    const Tensor y = tanh(matmul(x, w) * 0.5), same = tanh(matmul(x, w) * 0.5);
    const Tensor unused = exp(y);
    return sum(y + same, {1});
  });
  for (int call = 0; call < 3; ++call) compiled(numbers({16, 64}));
  const std::string text = compiled.explain();
  INFO(text);
  const auto count = [&](const std::string& what) {
    int times = 0;
    for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++times;
    return times;
  };
  CHECK(count("explain_test.cpp:") == 12);  // 2 matmul, 2 constants, 2 mul, 2 tanh, exp, add, sum; and what is saved
  CHECK(count("  saved f32[16,32], 2.0 kB: ") == 1);
  CHECK(count("[product]") >= 1);
  CHECK(count("[constant]") + count("[fused]") + count("[shared]") + count("[product]") == 11);
  CHECK(count("[shared]") >= 1);  // the exp that nobody uses
  CHECK(count("guard x") == 2);
  CHECK(text.find("a leaf with gradients") != text.npos);
  CHECK(count("FLOP") >= 3);
  CHECK(text.find("at its peak ") != text.npos);
  CHECK(text.find("FLOP; at its peak 0 B") == text.npos);
  CHECK(count("  plan: ") == 1);
  CHECK(count("  backward plan: ") == 1);
  CHECK(count("  backward kernel ") >= 1);
  CHECK(count("  backward product 0: 1 ops, reads 6.1 kB, writes 8.2 kB, 65.5 kFLOP\n") == 1);
}

TEST_CASE("explain says which gradients are left as products, with their work") {
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;
  const Tensor w = numbers({64, 32}, 0.1, 0.01).set_requires_grad();
  auto compiled = compile([&](const Tensor& x) { return tanh(matmul(x, w)); }, {.compile_at_once = true});
  compiled(numbers({16, 64}));
  const std::string text = compiled.explain();
  INFO(text);
  CHECK(text.find("  backward gives the gradient of x1 as f32[64,16] by f32[16,32], 65.5 kFLOP, multiplied once for all calls\n") !=
        text.npos);
  CHECK(text.find("  backward product") == text.npos);
}

namespace {

/// Bytes that the process has taken from the heap. The pool keeps freed blocks, so that they grow to a peak and stay there.
double heap_bytes() {
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
}

/// The bytes that stand behind these words, of which the second come somewhere after the first: "1.5 MB".
double stated_bytes(const std::string& text, const char* where, const char* words) {
  const size_t line = text.find(where), at = line == text.npos ? line : text.find(words, line);
  REQUIRE(at != text.npos);
  double number = 0;
  char unit[3] = {};
  REQUIRE(std::sscanf(text.c_str() + at + std::strlen(words), "%lf %2s", &number, unit) == 2);
  const std::map<std::string, double> units{{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
  REQUIRE(units.contains(unit));
  return number * units.at(unit);
}

}  // namespace

TEST_CASE("explain: the work that it states is the products', and the peaks that it states before a run are the run's") {
  if (kernels::isa_level() == kernels::IsaLevel::baseline || test::kSanitized) return;
  const test::Threads threads(2);
  const Tensor w = numbers({192, 256}, 0.1, 0.01).set_requires_grad(), x = numbers({1024, 192}).set_requires_grad();
  auto compiled = compile([&](const Tensor& in) { return softmax(tanh(matmul(in, w)) * 3.0, 1); }, {.compile_at_once = true});
  Tensor y = compiled(x);
  CHECK(compiled.stats().plan_runs == 0);
  const std::string text = compiled.explain();
  INFO(text);
  // 2 * 1024 * 192 * 256 operations each: forward, and for two gradients.
  for (const char* product : {"\n  product 0: ", "\n  backward product 0: ", "\n  backward product 1: "})
    CHECK(text.find(", 100.7 MFLOP\n", text.find(product)) == text.find('\n', text.find(product) + 1) - 13);

  const double stated = stated_bytes(text, "  plan: ", "at its peak "),
               stated_backward = stated_bytes(text, "  backward plan: ", "at its peak "), rounding = 1.05,
               result = 1024 * 256 * 4, gradients = (1024 * 192 + 192 * 256) * 4;
  double saved = 0;
  for (size_t at = text.find("  saved "); at != text.npos; at = text.find("  saved ", at + 1))
    saved += stated_bytes(text.substr(at), "  saved ", "], ");
  CHECK(saved > 0);

  // The second run packs w, the third finds it packed.
  y = Tensor();
  memory::release_cached();
  double before = heap_bytes();
  for (int call = 0; call < 3; ++call) {
    y = Tensor();
    y = compiled(x);
  }
  const double taken = heap_bytes() - before;
  const Tensor seed = numbers({1024, 256});
  memory::release_cached();
  before = heap_bytes();
  y.backward(seed);
  const double taken_backward = heap_bytes() - before;
  CHECK(compiled.stats().plan_runs == 3);
  CHECK(compiled.stats().backward_plan_runs == 1);
  INFO(taken << " bytes forward, of them " << result + saved << " held; " << taken_backward << " backward");
  CHECK(stated * rounding >= result + saved);
  CHECK(stated_backward * rounding >= gradients);
  CHECK(taken <= rounding * stated);
  CHECK(taken >= stated / 1.4);
  CHECK(taken_backward <= rounding * stated_backward);
  CHECK(taken_backward >= stated_backward / 1.4);
}

TEST_CASE("hidden: a program with a summary", "[.]") {
  explained([](const Tensors& x) -> Tensors { return {tanh(x[0])}; }, two_matrices(0));
}

TEST_CASE("explain: CALQUE_LOG=summary gives ten lines at the end") {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  FILE* pipe = popen(("CALQUE_LOG=summary " + program + " 'hidden: a program with a summary' 2>&1 >/dev/null").c_str(), "r");
  REQUIRE(pipe);
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  CHECK(pclose(pipe) == 0);
  INFO(text);
  int lines = 0;
  for (size_t at = text.find("summary: "); at != text.npos; at = text.find("summary: ", at + 1)) ++lines;
  CHECK(lines == 10);
  CHECK(text.find("calls: 3 observed") != text.npos);
}
