// Writes what standard cells give over sequences, and their gradients, to a folder, for judges outside of C++:
// scripts/judge_cells.py runs this by its tag, with CALQUE_JUDGE_FOLDER set.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "calque/nn.h"
#include "tests/run/cell_matrix.h"

namespace calque::cell_matrix {

namespace {

/// As `<case>.<what>.<number>.npy`.
void write_all_of(const std::string& path, const char* what, const Tensors& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) save_npy(fmt::format("{}.{}.{}.npy", path, what, i), tensors[i].detach());
}

void write_case(const std::string& path, const Model& model, int64_t steps, int64_t batch) {
  auto compiled = compile(model.run);
  for (int call = 0; call < 3; ++call) {  // records, compiles, runs
    const Workload work(model, steps, batch, Wants::gradients);
    const Tensors results = results_of(compiled, work);
    const Tensors gradients = gradients_of(results, work.leaves());
    if (call < 2) continue;
    write_all_of(path, "weight", work.weights);
    write_all_of(path, "state", work.state);
    write_all_of(path, "xs", {work.xs});
    write_all_of(path, "result", results);
    write_all_of(path, "gradient", gradients);  // of weights, states, sequence
    Tensors seeds;
    for (const Tensor& result : results) seeds.push_back(result_weights(result));
    write_all_of(path, "seed", seeds);
  }
  CHECK_COMPILED(compiled.stats().backward_plan_runs >= 1);
}

}  // namespace

TEST_CASE("standard cells over sequences, for judges", "[.judge_cells]") {
  const char* given = std::getenv("CALQUE_JUDGE_FOLDER");
  REQUIRE(given != nullptr);
  const std::string folder = given;
  unsetenv("CALQUE_JUDGE_FOLDER");  // the library warns of variables that it does not know
  std::ofstream list(folder + "/cases.txt");
  std::vector<Model> judged = {stacked_lstm(), bidirectional_lstm()};
  for (const char* name : {"lstm", "gru", "gru_reset_before", "rnn"}) judged.push_back(model_of(cells::find_cell(name)));
  int number = 0;
  for (const Model& model : judged)
    for (const auto& [steps, batch] : {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {7, 16}, {40, 3}}) {
      const std::string name = fmt::format("case{}", number++);
      list << name << " " << steps << " " << batch << " " << model.name << "\n";
      write_case(folder + "/" + name, model, steps, batch);
    }
  REQUIRE(list.good());
}

}  // namespace calque::cell_matrix
