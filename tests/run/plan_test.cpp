// What plans are made of, seen from outside: copies, views, aliases, packed weights, threads, errors; and the cache that
// lets a warm process run without a compiler.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "compiler/cache.h"
#include "compiler/codegen_client.h"
#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// Every call but the first ran one plan, where there is a code generator.
void check_plan_runs(const CompileStats& stats) {
  if (can_compile()) CHECK(stats.plan_runs == stats.calls - 1);
}

template <class Function, class Inputs>
void same_in_plans(Function function, Inputs inputs, int calls = 4) {
  check_plan_runs(same_as_plain([&] { return function; }, inputs, calls));
}

}  // namespace

// ---- copies and views ----

TEST_CASE("a reshape of permuted elements is a copy") {
  same_in_plans([](const Tensors& in) -> Tensors { return {reshape(transpose(tanh(in[0])), {6, 6}) * 2.0}; }, two_matrices);
  same_in_plans([](const Tensors& in) -> Tensors { return {reshape(transpose(in[0]), {36})}; }, two_matrices);
  same_in_plans(
      [](const Tensors& in) -> Tensors {
        const Tensor y = reshape(permute(reshape(in[0] + in[1], {2, 2, 9}), {2, 0, 1}), {3, 12});
        return {matmul(y, reshape(transpose(in[1]), {12, 3}))};
      },
      two_matrices);
}

TEST_CASE("an expansion along some axes becomes real where a product or a copy needs it") {
  const auto inputs = [](int call) -> Tensors { return {numbers({4, 1}, call), numbers({9}, -call), numbers({9, 5})}; };
  same_in_plans([](const Tensors& in) -> Tensors { return {matmul(expand(tanh(in[0]), {4, 9}), in[2])}; }, inputs);
  same_in_plans([](const Tensors& in) -> Tensors { return {reshape(expand(in[1] * 2.0, {4, 9}), {12, 3})}; }, inputs);
  same_in_plans([](const Tensors& in) -> Tensors { return {expand(in[0] + 1.0, {3, 4, 2}), sum(expand(in[1], {7, 9}), {0})}; }, inputs);
  same_in_plans([](const Tensors& in) -> Tensors { return {concat({expand(in[0], {4, 3}), expand(sigmoid(in[0]), {4, 2})}, 1)}; }, inputs);
}

TEST_CASE("views are given out as views: a write to their base shows in them") {
  const auto function = [](const Tensors& in) -> Tensors {
    const Tensor y = tanh(in[0] * in[1]);
    return {y, transpose(y), slice(y, 1, 2, 7), split(y, 3, 1)[1], reshape(y, {36}), select(y, 0, 2), transpose(in[0])};
  };
  auto compiled = compile(function);
  for (int call = 0; call < 4; ++call) {
    INFO("call " << call);
    Tensors expected_in = two_matrices(call), our_in = two_matrices(call);
    Tensors expected = function(expected_in), ours = compiled(our_in);
    check_same(ours, expected, "results");
    for (Tensors* results : {&expected, &ours}) (*results)[0].assign_(numbers({4, 9}, 50));
    for (Tensors* inputs : {&expected_in, &our_in}) (*inputs)[0].assign_(numbers({4, 9}, 70));
    check_same(ours, expected, "after writing to the bases");
    for (size_t i = 0; i < ours.size(); ++i) CHECK(ours[i].is_contiguous() == expected[i].is_contiguous());
  }
  check_plan_runs(compiled.stats());
}

TEST_CASE("one value twice, an input as it is, a constant, nothing at all") {
  const auto function = [](const Tensors& in) -> Tensors {
    const Tensor y = exp(in[0]) * in[1];
    return {y, y, in[0], in[1], in[0], exp(in[0]) * in[1], full({2, 3}, 0.25), Tensor()};
  };
  auto compiled = compile(function);
  for (int call = 0; call < 4; ++call) {
    const Tensors in = two_matrices(call);
    Tensors ours = compiled(in);
    check_same(ours, function(in), "results");
    CHECK(ours[0].is_same(ours[1]));
    CHECK(ours[2].is_same(in[0]));
    CHECK(ours[4].is_same(in[0]));
    CHECK(ours[3].is_same(in[1]));
    // Equal values computed twice are two tensors: a write to one leaves the other alone.
    const Tensor before = exp(in[0]) * in[1];
    ours[0].assign_(zeros({4, 9}));
    CHECK(same_bits(ours[5], before));
  }
  check_plan_runs(compiled.stats());
}

TEST_CASE("results of earlier calls stay as they were") {
  auto compiled = compile([](const Tensor& x) { return tanh(matmul(x, transpose(x))) + 1.0; });
  Tensors kept, expected;
  for (int call = 0; call < 6; ++call) {
    const Tensor x = numbers({5, 7}, call);
    kept.push_back(compiled(x));
    expected.push_back(tanh(matmul(x, transpose(x))) + 1.0);
  }
  check_same(kept, expected, "kept");
}

// ---- packed weights ----

TEST_CASE("a product's packed weight is never stale") {
  Tensor w = numbers({64, 96}), v = numbers({96, 80}, 0.2);
  const auto function = [&](const Tensors& in) -> Tensors { return {matmul(tanh(matmul(in[0], w)), v), matmul(in[0], transpose(numbers({8, 64})))}; };
  auto compiled = compile(function);
  const auto change = [&](int call) {
    switch (call % 7) {
      case 1: w.assign_(numbers({64, 96}, 0.01 * call)); break;
      case 2: w.mutable_data<float>()[call] = 3; break;
      case 3: slice(v, 0, 4, 9).assign_(numbers({5, 80}, call)); break;  // through a view
      case 4: w = numbers({64, 96}, -0.02 * call); break;               // another storage
      case 5: w = transpose(numbers({96, 64}, 0.03 * call)); break;     // another layout
      case 6: {                                                         // the same address, perhaps
        w = Tensor();
        w = numbers({64, 96}, 0.5 - 0.01 * call);
        break;
      }
      default: break;
    }
  };
  for (int call = 0; call < 40; ++call) {
    INFO("call " << call);
    change(call);
    const Tensors in{numbers({16, 64}, 0.1 * call, 0.03)};
    check_same(compiled(in), function(in), "results");
  }
  if (can_compile()) CHECK(compiled.stats().plan_runs >= 25);
}

TEST_CASE("an optimiser that writes weights between calls sees each of its steps") {
  const auto train = [](bool is_compiled) {
    Tensor w = numbers({33, 40}, -0.3, 0.03).set_requires_grad();
    const auto function = [&w](const Tensor& x) { return tanh(matmul(x, w)); };
    auto compiled = compile(function);
    for (int step = 0; step < 8; ++step) {
      const Tensor x = numbers({9, 33}, 0.1 * step, 0.02), y = is_compiled ? compiled(x) : function(x);
      sum(y * y).backward();
      no_grad([&] { w.assign_(w - 0.05 * w.grad()); });
      w.clear_grad();
    }
    return w.detach();
  };
  CHECK(same_bits(train(true), train(false)));
}

// ---- threads and errors ----

TEST_CASE("threads call one compiled function, at once and in turn") {
  const Tensor w = numbers({48, 64});
  const auto function = [w](const Tensor& x, const Tensor& other) { return softmax(matmul(tanh(x), w) + other, -1); };
  auto compiled = compile(function);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 6; ++thread)
    threads.emplace_back([&, thread] {
      for (int call = 0; call < 30; ++call) {
        const Tensor x = numbers({7, 48}, thread + 0.1 * call), other = numbers({64}, call);
        if (!same_bits(compiled(x, other), function(x, other))) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  // Calls that meet another in its middle run eagerly; calls of several threads in turn do not.
  const CompileStats before = compiled.stats();
  CHECK(before.calls >= 1);
  for (int thread = 0; thread < 4; ++thread)
    std::thread([&] {
      const Tensor x = numbers({7, 48}, thread), other = numbers({64}, thread);
      for (int call = 0; call < 3; ++call)
        if (!same_bits(compiled(x, other), function(x, other))) ++wrong;
    }).join();
  CHECK(wrong == 0);
  CHECK(compiled.stats().calls == before.calls + 12);
  if (can_compile()) CHECK(compiled.stats().plan_runs >= before.plan_runs + 11);
}

TEST_CASE("an index out of range inside a compiled function is the user's error, and the next call works") {
  for (DType dtype : {DType::i64, DType::i32}) {
    const auto function = [](const Tensors& in) -> Tensors { return {sum(tanh(take(in[0] * 2.0, in[1])) + 1.0, {1})}; };
    auto compiled = compile(function);
    for (int call = 0; call < 9; ++call) {
      INFO("call " << call);
      const bool is_bad = call % 3 == 2;
      const int64_t index = is_bad ? (call % 2 ? -1 : 4) : call % 4;
      const Tensors in{numbers({4, 9}, call), cast(from_vector<int64_t>({3, index, 0}), dtype)};
      if (is_bad) {
        CHECK_THROWS_AS(function(in), UserError);
        CHECK_THROWS_AS(compiled(in), UserError);
      } else {
        check_same(compiled(in), function(in), "results");
      }
    }
    if (can_compile()) CHECK(compiled.stats().plan_runs >= 3);
  }
}

// ---- the cache ----

namespace {

/// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "calque-plan-XXXXXX").string()) { REQUIRE(mkdtemp(path_.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Exit code of this program when it runs one hidden test case with that cache folder and one more setting.
int run_hidden(const char* test, const Folder& folder, const char* variable = "CALQUE_TEST_KIND", const char* value = "run") {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const pid_t child = fork();
  if (child == 0) {
    setenv("CALQUE_CACHE", "1", 1);
    setenv("CALQUE_CACHE_DIR", folder.path().c_str(), 1);
    setenv(variable, value, 1);
    execl(program.c_str(), program.c_str(), test, nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// A program with a product, a fusion and a backward pass.
CompileStats run_program() {
  Tensor w = numbers({9, 5}).set_requires_grad();
  CompileStats stats;
  auto compiled = compile([&](const Tensor& x) { return softmax(matmul(x, w), -1); });
  for (int call = 0; call < 3; ++call) {
    const Tensor x = numbers({4, 9}, call), y = compiled(x), expected = softmax(matmul(x, w), -1);
    CHECK(same_bits(y, expected));
    y.backward(numbers({4, 5}));
  }
  stats = compiled.stats();
  CHECK(stats.plan_runs == 2);
  CHECK(stats.backward_plan_runs == 2);
  return stats;
}

bool maps_contain(const std::string& word) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(word) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("hidden: a cold process", "[.]") {
  const CompileStats stats = run_program();
  CHECK(stats.compilations == 1);
  CHECK(stats.cache_hits == 0);
  CHECK(codegen_was_opened());
  CHECK(maps_contain("libcalque_cpu_codegen"));
  CHECK_FALSE(maps_contain(" rwx"));
}

TEST_CASE("hidden: a warm process", "[.]") {
  const CompileStats stats = run_program();
  CHECK(stats.compilations == 0);
  CHECK(stats.cache_hits == 1);
  CHECK_FALSE(codegen_was_opened());
  for (const char* word : {"LLVM", "libcalque_cpu_codegen", " rwx"}) CHECK_FALSE(maps_contain(word));
}

TEST_CASE("a warm process opens no compiler, and no memory is writable and executable") {
  if (!can_compile()) return;
  const Folder folder;
  CHECK(run_hidden("hidden: a cold process", folder) == 0);
  CHECK(run_hidden("hidden: a warm process", folder) == 0);
  CHECK(run_hidden("hidden: a warm process", folder) == 0);
  // Settings that shape code are part of the key.
  CHECK(run_hidden("hidden: a cold process", folder, "CALQUE_DISABLE_PASSES", "cse") == 0);
  CHECK(run_hidden("hidden: a warm process", folder, "CALQUE_DISABLE_PASSES", "cse") == 0);
  if (kernels::isa_level() == kernels::IsaLevel::avx512) {
    CHECK(run_hidden("hidden: a cold process", folder, "CALQUE_ISA", "avx2") == 0);
    CHECK(run_hidden("hidden: a warm process", folder, "CALQUE_ISA", "avx2") == 0);
  }
  CHECK(run_hidden("hidden: a warm process", folder) == 0);
  // What is dumped is made, whatever the cache holds.
  const Folder dump;
  CHECK(run_hidden("hidden: a cold process", folder, "CALQUE_DUMP", dump.path().c_str()) == 0);
  CHECK_FALSE(std::filesystem::is_empty(dump.path()));
}

namespace {

struct Variant {
  const char* name;
  std::function<Tensors(const Tensors&)> function;
  std::function<Tensors()> inputs;
};

/// One program, and others that differ from it in one thing that shapes their code.
std::vector<Variant> variants() {
  const auto base = [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * in[1]), {1})}; };
  const auto matrices = [] { return two_matrices(0); };
  return {
      {"base", base, matrices},
      {"another op", [](const Tensors& in) -> Tensors { return {sum(sigmoid(in[0] * in[1]), {1})}; }, matrices},
      {"an op more", [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * in[1]) * in[0], {1})}; }, matrices},
      {"another operand", [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * in[1]) * in[1], {1})}; }, matrices},
      {"another attribute", [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * in[1]), {0})}; }, matrices},
      {"kept axes", [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * in[1]), {1}, true)}; }, matrices},
      {"a number", [](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * 2.0), {1})}; }, matrices},
      {"another value held", [](const Tensors& in) -> Tensors { const Tensor y = tanh(in[0] * in[1]); return {y, sum(y, {1})}; }, matrices},
      {"another shape", base, [] { return Tensors{numbers({4, 10}), numbers({4, 10})}; }},
      {"another rank", base, [] { return Tensors{numbers({4, 9}), numbers({9})}; }},
      {"another dtype", base, [] { return Tensors{cast(numbers({4, 9}), DType::f64), cast(numbers({4, 9}), DType::f64)}; }},
      {"other strides", base, [] { return Tensors{transpose(numbers({9, 4})), numbers({4, 9})}; }},
      {"gaps between rows", base, [] { return Tensors{slice(numbers({4, 12}), 1, 1, 10), numbers({4, 9})}; }},
      {"a gradient of the first", base, [] { return Tensors{numbers({4, 9}).set_requires_grad(), numbers({4, 9})}; }},
      {"a gradient of the second", base, [] { return Tensors{numbers({4, 9}), numbers({4, 9}).set_requires_grad()}; }},
  };
}

CompileStats run_variant(const Variant& variant, const char* name) {
  auto compiled = compile(variant.function, {.name = name});
  for (int call = 0; call < 3; ++call) {
    const Tensors in = variant.inputs();
    check_same(compiled(in), variant.function(in), variant.name);
  }
  return compiled.stats();
}

}  // namespace

TEST_CASE("hidden: variants of a program", "[.]") {
  for (const Variant& variant : variants()) {
    INFO(variant.name);
    const CompileStats first = run_variant(variant, "first"), second = run_variant(variant, "second");
    CHECK(first.compilations == 1);
    CHECK(first.cache_hits == 0);
    CHECK(second.compilations == 0);
    CHECK(second.cache_hits == 1);
  }
  // The key is compared whole: no line of it may differ, none may be missing.
  const std::vector<EntryInfo> entries = disk_cache().list();
  CHECK(entries.size() == variants().size());
  for (const EntryInfo& entry : entries) {
    REQUIRE(disk_cache().load(entry.key));
    for (size_t start = 0; start < entry.key.size();) {
      const size_t end = std::min(entry.key.find('\n', start), entry.key.size() - 1);
      std::string changed = entry.key, shortened = entry.key;
      changed[end - (end > start)] ^= 1;
      shortened.erase(start, end + 1 - start);
      CHECK_FALSE(disk_cache().load(changed));
      CHECK_FALSE(disk_cache().load(shortened));
      start = end + 1;
    }
    for (const char* field : {"build ", "codegen ", "isa ", "disabled ", "slot ", "held "}) {
      INFO(field);
      CHECK(entry.key.find(std::string("\n") + field) != std::string::npos);
    }
    for (const char* other : {"first", "second", "plan_test"}) CHECK(entry.key.find(other) == std::string::npos);
  }
}

TEST_CASE("whatever shapes a program's code is part of its cache key") {
  if (!can_compile()) return;
  const Folder folder;
  CHECK(run_hidden("hidden: variants of a program", folder) == 0);
}

namespace {

/// Two ways of one function, each of two segments; of two results one gets no gradient. Gives how often it was compiled.
uint64_t compile_two_ways(const char* name, bool first) {
  Tensor w = numbers({4, 9}).set_requires_grad();
  const auto function = [&](const Tensor& x, bool flag) -> Tensors {
    Tensor y = tanh(x * w);
    if (flag) y = y * 0.25 + exp(x);
    const double peak = max(y).item();
    return {flag ? sigmoid(y) * w : y - w, y * peak};
  };
  auto compiled = compile(function, {.name = name});
  for (const bool flag : {first, !first})
    for (int call = 0; call < 4; ++call) {
      const Tensor x = numbers({4, 9}, call);
      w.clear_grad();
      const Tensors expected = function(x, flag);
      sum(expected[0]).backward();
      const Tensor gradient = w.grad();
      w.clear_grad();
      const Tensors ours = compiled(x, flag);
      sum(ours[0]).backward();
      check_same(ours, expected, "results");
      check_same({w.grad()}, {gradient}, "gradient");
    }
  CHECK(compiled.stats().plan_runs > 8);
  CHECK(compiled.explain().starts_with(name));
  return compiled.stats().compilations;
}

}  // namespace

TEST_CASE("hidden: two ways in one order", "[.]") { CHECK(compile_two_ways("first", false) == 4); }

TEST_CASE("hidden: two ways in the other order by another name", "[.]") {
  CHECK(compile_two_ways("second", true) == 0);
  CHECK_FALSE(codegen_was_opened());
}

TEST_CASE("what a function is called, and which of its ways came first, is no part of its cache key") {
  if (!can_compile()) return;
  const Folder folder;
  CHECK(run_hidden("hidden: two ways in one order", folder) == 0);
  CHECK(run_hidden("hidden: two ways in the other order by another name", folder) == 0);
}
