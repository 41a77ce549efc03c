// TeamTrial: both ways are run, the quicker one is kept, and tried again later.
#include "compiler/team_trial.h"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

using namespace calque;

namespace {

constexpr uint64_t kTicks = 10'000;  // of one unit of a duration below: a hundred are some hundred microseconds

/// A program that does nothing but runs.
struct Program {
  TeamTrial trial;
  uint64_t now = 1;

  bool run(uint64_t alone, uint64_t team) {
    const bool with_team = trial.with_team();
    const uint64_t duration = kTicks * (with_team ? team : alone);
    trial.note(with_team, duration, now += duration);
    return with_team;
  }
  /// The ways of so many runs, of which each takes as long as it is said to.
  std::vector<bool> ways_of(int runs, uint64_t alone, uint64_t team) {
    std::vector<bool> ways;
    for (int i = 0; i < runs; ++i) ways.push_back(run(alone, team));
    return ways;
  }
};

long with_team(const std::vector<bool>& ways) { return std::count(ways.begin(), ways.end(), true); }

TEST_CASE("a trial runs both ways in a row and keeps the quicker one") {
  for (const bool team_is_quicker : {false, true}) {
    const std::vector<bool> ways = Program().ways_of(50, 100, team_is_quicker ? 60 : 140);
    CHECK(!ways.front());
    CHECK(with_team(ways) > 5);
    CHECK(with_team(ways) < 45);
    for (size_t i = 30; i < ways.size(); ++i) CHECK(ways[i] == team_is_quicker);
  }
}

TEST_CASE("a trial is repeated now and then, and follows the machine") {
  Program program;
  CHECK(with_team(program.ways_of(20000, 100, 140)) < 1000);
  program.ways_of(1000, 100, 60);
  CHECK(with_team(program.ways_of(20000, 100, 60)) > 19000);
}

TEST_CASE("a trial is repeated after a pause") {
  Program program;
  program.ways_of(18 + 250, 100, 140);
  program.now += uint64_t{1} << 40;
  CHECK(with_team(program.ways_of(100, 100, 60)) > 80);
}

TEST_CASE("a way that becomes slower than the other one was is given up soon") {
  for (const bool team_is_quicker : {false, true}) {
    Program program;
    program.ways_of(30, 100, team_is_quicker ? 60 : 140);
    program.ways_of(40, team_is_quicker ? 100 : 200, team_is_quicker ? 120 : 140);
    CHECK(program.run(1, 1) != team_is_quicker);
  }
}

TEST_CASE("single slow runs neither decide a trial nor end a rest") {
  Program program;
  for (int i = 0; i < 18; ++i) program.run(100, i == 14 ? 10000 : 60);
  for (int i = 0; i < 200; ++i) CHECK(program.run(100, i % 10 == 0 ? 10000 : 60));
}

TEST_CASE("runs that end after a decision, or throw, do not disturb a trial") {
  Program program;
  program.trial.with_team();  // its run threw: nothing is noted
  program.ways_of(18, 100, 60);
  for (int i = 0; i < 100; ++i) program.trial.note(false, 1'000'000'000, program.now);
  CHECK(with_team(program.ways_of(30, 100, 60)) == 30);
}

TEST_CASE("threads that ask and note at once wait for nobody, and the quicker way is found all the same") {
  Program shared;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, now = shared.now]() mutable {
      for (int run = 0; run < 5000; ++run) {
        const bool with_team = shared.trial.with_team();
        const uint64_t duration = kTicks * (with_team ? 60 : 100);
        shared.trial.note(with_team, duration, now += duration);
      }
    });
  for (std::thread& thread : threads) thread.join();
  shared.now += uint64_t{1} << 40;
  CHECK(with_team(shared.ways_of(5000, 100, 60)) > 4600);
}

}  // namespace
