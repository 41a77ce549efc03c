// Every benchmark runs, says what it measured, and writes it as JSON. Its timings decide nothing here.
#include <catch2/catch.hpp>

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

/// A folder of this test alone, removed at its end; also what the programs use as their cache.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "calque-bench-smoke-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    REQUIRE(setenv("CALQUE_CACHE_DIR", (path_ / "cache").c_str(), 1) == 0);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// Names of the benchmarks, by their sources: tests run in the root of the repository.
std::vector<std::string> benchmarks() {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator("bench"))
    if (entry.path().extension() == ".cpp") names.push_back(entry.path().stem());
  std::sort(names.begin(), names.end());
  return names;
}

/// Where the build puts programs: beside this one.
fs::path program(const std::string& name) {
  return fs::read_symlink("/proc/self/exe").parent_path() / ("bench_" + name);
}

int exit_code(const std::string& command) {
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// The exit code of bench/compare.py with our ways only, as quickly as it can.
int compare(const std::string& options, const fs::path& json, const fs::path& table) {
  return exit_code("python3 bench/compare.py " + options + " --only-ours --quick --threads 1 --programs '" +
                   program("rnn").parent_path().string() + "' --json '" + json.string() + "' > '" + table.string() + "'");
}

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// The text behind `"name": ` up to the next comma or brace; empty when there is no such member.
std::string member(const std::string& object, const std::string& name) {
  const std::string key = "\"" + name + "\": ";
  const size_t at = object.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  const size_t end =
      object[begin] == '"' ? object.find('"', begin + 1) + 1 : object.find_first_of(",}", begin);
  return object.substr(begin, end - begin);
}

}  // namespace

TEST_CASE("every benchmark prints a row for each object that it writes") {
  const Scratch scratch;
  const std::vector<std::string> names = benchmarks();
  REQUIRE(names.size() >= 4);
  for (const std::string& name : names) {
    INFO("bench_" << name);
    const fs::path json = scratch / (name + ".json"), table = scratch / (name + ".txt");
    REQUIRE(exit_code("'" + program(name).string() + "' --quick --json '" + json.string() + "' > '" +
                      table.string() + "'") == 0);
    const std::vector<std::string> printed = lines_of(table), objects = lines_of(json);
    REQUIRE_FALSE(objects.empty());
    for (const std::string& object : objects) {
      INFO(object);
      CHECK(object.front() == '{');
      CHECK(object.back() == '}');
      CHECK(member(object, "bench") == "\"" + name + "\"");
      CHECK(std::atoi(member(object, "threads").c_str()) >= 1);
      CHECK_FALSE(member(object, "ours_us").empty());
      CHECK(member(object, "isa").size() > 2);
      for (const char* name :
           {"shape", "mode", "best_peer", "best_peer_us", "ratio", "limit_us", "goal_ratio"})
        CHECK_FALSE(member(object, name).empty());
      const std::string workload = member(object, "workload"), bare = workload.substr(1, workload.size() - 2);
      CHECK(std::any_of(printed.begin(), printed.end(),
                        [&](const std::string& row) { return row.starts_with(bare + " "); }));
    }
    const auto rows = std::count_if(objects.begin(), objects.end(), [](const std::string& object) {
      return std::atof(member(object, "ours_us").c_str()) > 0;
    });
    CHECK(rows >= 1);
    CHECK(printed.size() >= objects.size() + 2);  // the machine, the heading, the rows
  }
}

TEST_CASE("a benchmark refuses options that it does not know, and files that it cannot write") {
  const Scratch scratch;
  for (const std::string& name : benchmarks()) {
    INFO("bench_" << name);
    CHECK(exit_code("'" + program(name).string() + "' --fast > /dev/null 2>&1") == 2);
    CHECK(exit_code("'" + program(name).string() + "' --threads 0 > /dev/null 2>&1") == 2);
  }
  const std::string unwritable = (scratch / "no-such-folder").string() + "/rows.json";
  CHECK(exit_code("'" + program("eager").string() + "' --quick --json '" + unwritable +
                  "' > /dev/null 2>&1") == 1);
}

TEST_CASE("the driver of the recurrent benchmarks runs ours without any peer, and writes what it prints") {
  const Scratch scratch;
  for (const std::string bench : {"rnn", "cell"})
    for (const std::string sweep : {"", " --sweep B"}) {
      INFO(bench << sweep);
      const fs::path json = scratch / "compare.json",
                     plots = scratch / (bench + "_plots" + sweep.substr(0, 3)),
                     table = scratch / "compare.txt";
      REQUIRE(compare(bench + " --cell lstm indrnn --sizes 3,8,8 --steps 4 --plots '" + plots.string() + "'" + sweep,
                      json, table) == 0);
      std::string text;
      for (const std::string& line : lines_of(json)) text += line;
      for (const char* name :
           {"workload", "shape", "mode", "ours_us", "best_peer", "ratio", "limit_us", "goal_ratio"})
        CHECK_FALSE(member(text, name).empty());
      CHECK(std::atof(member(text, "ours_us").c_str()) > 0);
      CHECK(text.find("pure_cell") != std::string::npos);
      const auto headings = lines_of(table);
      const auto of_cell = [](const std::string& line) { return line.starts_with("indrnn "); };
      CHECK(std::count_if(headings.begin(), headings.end(), of_cell) == (sweep.empty() ? 2 : 8));
      CHECK(fs::exists(plots) == !sweep.empty());
    }
  CHECK(exit_code("python3 bench/compare.py rnn --only-ours --programs /nowhere > /dev/null 2>&1") == 1);
}

TEST_CASE("layers, directions and gradients of the inputs are rows, too") {
  const Scratch scratch;
  const fs::path json = scratch / "compare.json", table = scratch / "compare.txt";
  REQUIRE(compare("rnn --cell stacked_lstm bidirectional_gru --sizes 3,8,12"
                  " --mode inference training training_with_dX --steps 4", json, table) == 0);
  const auto rows_with = [&](const std::string& text) {
    const auto lines = lines_of(table);
    return std::count_if(lines.begin(), lines.end(),
                         [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  CHECK(rows_with("stacked_lstm 3,8,12 T=4 ") == 3);
  CHECK(rows_with("bidirectional_gru 3,8,12 T=4 ") == 3);
  CHECK(rows_with(" training_with_dX, 1 threads") == 2);
  CHECK(rows_with("calque pure_loop ") == 6);
  CHECK(rows_with("left out") == 0);
}

TEST_CASE("a sweep over T says what a step costs at each length beside T = 100") {
  const Scratch scratch;
  const fs::path json = scratch / "compare.json", table = scratch / "compare.txt";
  REQUIRE(compare("rnn --ours pure_loop --sizes 1,8,8 --sweep T --plots '" + (scratch / "plots").string() + "'",
                  json, table) == 0);
  std::string printed, written;
  for (const std::string& line : lines_of(table)) printed += line;
  for (const std::string& line : lines_of(json)) written += line;
  for (const char* length : {"T=100 ", "T=1000 ", "T=10000 "})
    CHECK(printed.find(length) != std::string::npos);
  CHECK(written.find("\"step_beside_100\": 1.0") != std::string::npos);
  CHECK(written.find("\"steps\": 10000") != std::string::npos);
}
