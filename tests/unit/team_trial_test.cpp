// TeamTrial: both ways are run, the quicker one is kept, and tried again later.
#include "compiler/team_trial.h"

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

using namespace calque;

namespace {

/// The ways of so many runs, of which each takes as long as it is said to.
std::vector<bool> ways_of(TeamTrial& trial, int runs, uint64_t alone, uint64_t team) {
  std::vector<bool> ways;
  for (int i = 0; i < runs; ++i) {
    ways.push_back(trial.with_team());
    trial.note(ways.back(), ways.back() ? team : alone);
  }
  return ways;
}

long with_team(const std::vector<bool>& ways) { return std::count(ways.begin(), ways.end(), true); }

TEST_CASE("a trial runs both ways in a row and keeps the quicker one") {
  for (const bool team_is_quicker : {false, true}) {
    TeamTrial trial;
    const std::vector<bool> ways = ways_of(trial, 50, 100, team_is_quicker ? 60 : 140);
    CHECK(!ways.front());
    CHECK(with_team(ways) > 5);
    CHECK(with_team(ways) < 45);
    for (size_t i = 30; i < ways.size(); ++i) CHECK(ways[i] == team_is_quicker);
  }
}

TEST_CASE("a trial is repeated, ever more seldom, and follows the machine") {
  TeamTrial trial;
  CHECK(with_team(ways_of(trial, 20000, 100, 140)) < 500);
  ways_of(trial, 5000, 100, 60);
  CHECK(with_team(ways_of(trial, 30, 100, 60)) == 30);
}

TEST_CASE("one slow run of the quicker way does not decide a trial") {
  TeamTrial trial;
  for (int i = 0; i < 18; ++i) {
    const bool team = trial.with_team();
    trial.note(team, team ? (i == 14 ? 10000 : 60) : 100);
  }
  CHECK(trial.with_team());
}

TEST_CASE("runs that end after a decision, or throw, do not disturb a trial") {
  TeamTrial trial;
  trial.with_team();  // its run threw: nothing is noted
  ways_of(trial, 18, 100, 60);
  trial.note(false, 1);
  trial.note(false, 1);
  CHECK(with_team(ways_of(trial, 30, 100, 60)) == 30);
}

TEST_CASE("threads that ask and note at once wait for nobody, and the quicker way is found all the same") {
  TeamTrial trial;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { ways_of(trial, 5000, 100, 60); });
  for (std::thread& thread : threads) thread.join();
  const std::vector<bool> ways = ways_of(trial, 5000, 100, 60);
  CHECK(with_team(ways) > 4800);
}

}  // namespace
