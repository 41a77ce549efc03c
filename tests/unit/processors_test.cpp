// Threads leave processors that are taken, where there are others, and may go anywhere afterwards.
#include "runtime/processors.h"

#include <catch2/catch.hpp>
#include <sched.h>

#include <thread>
#include <vector>

using namespace calque;

namespace {

cpu_set_t own_mask() {
  cpu_set_t mask;
  REQUIRE(sched_getaffinity(0, sizeof mask, &mask) == 0);
  return mask;
}

std::vector<int> members(const cpu_set_t& mask) {
  std::vector<int> members;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor)
    if (CPU_ISSET(processor, &mask)) members.push_back(processor);
  return members;
}

}  // namespace

TEST_CASE("processors: a thread with one processor stays, with the mask it had") {
  std::thread([] {
    const int only = members(own_mask()).front();
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(only, &mask);
    REQUIRE(sched_setaffinity(0, sizeof mask, &mask) == 0);
    CHECK(allowed_processors() == 1);
    leave_processors({&only, 1});
    CHECK(members(own_mask()) == std::vector{only});
  }).join();
}

TEST_CASE("processors: a thread goes where nobody is, and keeps its mask") {
  const std::vector<int> all = members(own_mask());
  CHECK(allowed_processors() == static_cast<int>(all.size()));
  for (const int free : all) {
    std::vector<int> taken = {-1, CPU_SETSIZE};  // of threads that are nowhere yet
    for (const int processor : all)
      if (processor != free) taken.push_back(processor);
    std::thread([&] {
      bool went = false;
      for (int attempt = 0; attempt < 20 && !went; ++attempt) {  // a busy machine may move it on before it looks
        leave_processors(taken);
        went = sched_getcpu() == free;
      }
      CHECK(went);
      CHECK(members(own_mask()) == all);
    }).join();
  }
}
