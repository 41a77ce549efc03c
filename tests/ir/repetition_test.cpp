// Where numbers repeat, against a search that looks at every number.
#include "passes/loops/repetition.h"

#include <catch2/catch.hpp>

#include <random>
#include <utility>
#include <vector>

using namespace calque;

namespace {

using Stretches = std::vector<std::pair<size_t, size_t>>;

Stretches found_by_looking_at_all(const std::vector<uint32_t>& numbers, size_t period) {
  Stretches found;
  size_t begin = 0;
  for (size_t i = 0; i + period <= numbers.size(); ++i) {
    if (i + period < numbers.size() && numbers[i] == numbers[i + period]) continue;
    if (i + period - begin >= 3 * period) found.emplace_back(begin, i + period);
    begin = i + 1;
  }
  return found;
}

Stretches found_in(const std::vector<uint32_t>& numbers, size_t period) {
  Stretches found;
  for_each_repetition(numbers, period, [&](size_t begin, size_t end) { found.emplace_back(begin, end); });
  return found;
}

}  // namespace

TEST_CASE("repetition: all stretches of at least three periods, in order") {
  std::mt19937 random(1);
  size_t stretches = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint32_t> numbers;
    const uint32_t kinds = 1 + random() % 3;
    while (numbers.size() < round % 60u) {
      std::vector<uint32_t> iteration(1 + random() % 5);
      for (uint32_t& number : iteration) number = random() % kinds;
      for (uint32_t left = random() % 6; left > 0; --left) numbers.insert(numbers.end(), iteration.begin(), iteration.end());
    }
    for (size_t period = 1; period <= numbers.size() / 2 + 1; ++period) {
      const Stretches expected = found_by_looking_at_all(numbers, period);
      stretches += expected.size();
      REQUIRE(found_in(numbers, period) == expected);
    }
  }
  CHECK(stretches > 1000);
}
