// Trainings that are interrupted, killed and resumed, with the program `calque` itself: a checkpoint is whole at any time, and going
// on from it gives the bits of a training that was left alone.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "calque/nn.h"

namespace fs = std::filesystem;
using namespace calque;
using namespace std::chrono_literals;

namespace {

/// A folder of this test alone, with a text to learn and a cache of its own.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "calque-training-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    REQUIRE(setenv("CALQUE_CACHE_DIR", (path_ / "cache").c_str(), 1) == 0);
    std::ofstream text(path_ / "text");
    for (int i = 0; i < 40; ++i) text << "how much wood would a woodchuck chuck if a woodchuck could chuck wood?\n";
  }
  ~Scratch() {
    unsetenv("CALQUE_CACHE_DIR");
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

using Arguments = std::vector<std::string>;

/// `calque train` under way; its output goes nowhere.
class Training {
 public:
  explicit Training(Arguments arguments) {
    const std::string program = fs::read_symlink("/proc/self/exe").parent_path() / "calque";
    arguments.insert(arguments.begin(), {program, "train", "--threads", "1"});
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    child_ = fork();
    if (child_ == 0) {
      const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
      dup2(nowhere, STDOUT_FILENO);
      dup2(nowhere, STDERR_FILENO);
      execv(program.c_str(), pointers.data());
      _exit(127);
    }
  }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;
  ~Training() {
    if (child_ > 0) kill(SIGKILL), wait();
  }
  void kill(int signal) const { ::kill(child_, signal); }
  /// The exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    REQUIRE(waitpid(child_, &status, 0) == child_);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  bool is_running() const { return waitid(P_PID, static_cast<id_t>(child_), &info_, WEXITED | WNOHANG | WNOWAIT) == 0 && info_.si_pid == 0; }

 private:
  pid_t child_ = -1;
  mutable siginfo_t info_{};
};

int train(const Arguments& arguments) { return Training(arguments).wait(); }

/// A small training of `steps` steps, as it is asked for at its start.
Arguments small(const Scratch& scratch, const std::string& out, int steps, const Arguments& more = {}) {
  Arguments result = {"--text", scratch / "text", "--hidden", "12", "--batch", "4",   "--length",
                      "10",     "--steps",        std::to_string(steps), "--out", scratch / out};
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

void wait_for(const Training& training, const std::string& file) {
  while (!fs::exists(file) && training.is_running()) std::this_thread::sleep_for(1ms);
  REQUIRE(fs::exists(file));
}

int64_t steps_in(const std::string& file) { return find(load_safetensors(file).tensors, "step").to_vector<int64_t>().at(0); }

std::string bytes_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool same_bytes(const std::string& a, const std::string& b) { return bytes_of(a) == bytes_of(b); }

}  // namespace

TEST_CASE("a training that is resumed in a new process ends with the bits of one that was not") {
  const Scratch scratch;
  for (const std::string way : {"--eager", "--compile"}) {
    for (const std::string cell : {"layernorm_lstm", "gru"}) {
      INFO(way << " " << cell);
      const std::string whole = scratch / "whole/model.safetensors", half = scratch / "half/model.safetensors";
      REQUIRE(train(small(scratch, "whole", 60, {way, "--cell", cell})) == 0);
      REQUIRE(train(small(scratch, "half", 27, {way, "--cell", cell})) == 0);
      CHECK(!same_bytes(half, whole));
      REQUIRE(train({"--resume", half, "--text", scratch / "text", "--steps", "60", way}) == 0);
      CHECK(steps_in(half) == 60);
      CHECK(same_bytes(half, whole));  // metadata, parameters, moments, random state, cell state
    }
  }
}

TEST_CASE("Ctrl-C leaves a whole checkpoint, says so in the exit code, and the training goes on from it") {
  const Scratch scratch;
  for (const int signal : {SIGINT, SIGTERM}) {
    INFO("signal " << signal);
    const std::string name = "stopped" + std::to_string(signal), file = scratch / (name + "/model.safetensors");
    {
      Training training(small(scratch, name, 1'000'000'000, {"--save-every", "1"}));
      wait_for(training, file);
      training.kill(signal);
      REQUIRE(training.wait() == 128 + signal);
    }
    const int64_t reached = steps_in(file);
    CHECK(reached >= 1);
    const std::string more = std::to_string(reached + 20);
    REQUIRE(train({"--resume", file, "--text", scratch / "text", "--steps", more}) == 0);
    REQUIRE(train(small(scratch, "alone", static_cast<int>(reached) + 20)) == 0);
    CHECK(same_bytes(file, scratch / "alone/model.safetensors"));
  }
}

TEST_CASE("Ctrl-C between two saves is not lost: what was done since the last one is saved") {
  const Scratch scratch;
  const std::string file = scratch / "stopped/model.safetensors";
  Training training(small(scratch, "stopped", 1'000'000'000, {"--save-every", "5"}));
  wait_for(training, file);
  training.kill(SIGINT);
  REQUIRE(training.wait() == 130);
  CHECK(fs::exists(file));
  CHECK(find(load_safetensors(file).tensors, "optimizer.step").item() == static_cast<double>(steps_in(file)));
}

TEST_CASE("a training that is killed while it saves leaves a checkpoint that loads") {
  const Scratch scratch;
  const std::string file = scratch / "killed/model.safetensors";
  REQUIRE(train(small(scratch, "killed", 1)) == 0);
  int64_t reached = 1;
  for (int round = 0; round < 12; ++round) {
    Training training({"--resume", file, "--text", scratch / "text", "--steps", "1000000000", "--save-every", "1"});
    std::this_thread::sleep_for(40ms + round * 7ms);
    training.kill(SIGKILL);
    REQUIRE(training.wait() == -SIGKILL);
    REQUIRE(steps_in(file) >= reached);
    reached = steps_in(file);
  }
  CHECK(train({"--resume", file, "--text", scratch / "text", "--steps", std::to_string(reached + 1)}) == 0);
}

TEST_CASE("what cannot be resumed is refused, and left as it is") {
  const Scratch scratch;
  const std::string file = scratch / "small/model.safetensors", text = scratch / "text";
  REQUIRE(train(small(scratch, "small", 3)) == 0);
  const std::string before = bytes_of(file);
  CHECK(train({"--resume", file, "--text", text}) == 1);                    // all its steps are done
  CHECK(train({"--resume", file, "--steps", "9", "--text", file}) == 1);    // another text
  CHECK(train({"--resume", text, "--steps", "9", "--text", text}) == 1);    // not a checkpoint
  CHECK(train({"--resume", scratch / "none", "--text", text}) == 1);
  CHECK(train({"--resume", file, "--text", text, "--hidden", "8"}) == 2);  // its settings are its own
  save_safetensors(scratch / "cut", {{"model.embedding.weight", zeros({3, 2})}}, load_safetensors(file).metadata);
  CHECK(train({"--resume", scratch / "cut", "--text", text, "--steps", "9"}) == 1);
  CHECK((bytes_of(file) == before));
}
