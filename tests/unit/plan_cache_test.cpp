// The table of programs in memory: bounds, counts, readers beside writers.
#include "compiler/plan_cache.h"

#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/sanitized.h"

using namespace calque;

namespace {

std::shared_ptr<const Blobs> program(size_t bytes, char letter) {
  return std::make_shared<const Blobs>(Blobs{{"image", std::string(bytes, letter)}});
}

std::string key_of(int number) { return "program " + std::to_string(number); }

}  // namespace

TEST_CASE("programs in memory are found by their whole key, and replaced") {
  ProgramTable table(10, 1 << 20);
  CHECK(table.find("a") == nullptr);
  const auto first = program(100, 'a'), second = program(200, 'b');
  table.insert("a", first);
  table.insert("b", second);
  CHECK(table.find("a") == first);
  CHECK(table.find("b") == second);
  CHECK(table.find("") == nullptr);
  CHECK(table.find("ab") == nullptr);
  table.insert("a", second);
  CHECK(table.find("a") == second);
  const ProgramTable::Counts counts = table.counts();
  CHECK(counts.programs == 2);
  CHECK(counts.bytes == 2 * (200 + std::string("image").size() + 1));
  CHECK(counts.hits == 3);
  CHECK(counts.evicted == 0);
}

TEST_CASE("past its bounds the table drops what was not used for longest") {
  ProgramTable by_number(3, 1 << 20), by_bytes(100, 1000);
  for (ProgramTable* table : {&by_number, &by_bytes}) {
    for (int i = 0; i < 3; ++i) table->insert(key_of(i), program(300, 'x'));
    CHECK(table->find(key_of(0)));
    table->insert(key_of(3), program(300, 'x'));
    CHECK(table->find(key_of(0)));
    CHECK_FALSE(table->find(key_of(1)));
    CHECK(table->find(key_of(2)));
    CHECK(table->find(key_of(3)));
    CHECK(table->counts().programs == 3);
    CHECK(table->counts().evicted == 1);
  }
  by_bytes.insert("more than all", program(2000, 'x'));
  CHECK_FALSE(by_bytes.find("more than all"));
  CHECK(by_bytes.counts().programs == 3);  // for which nothing was dropped
}

TEST_CASE("readers of the table see whole programs while writers replace and drop them") {
  ProgramTable table(8, 1 << 20);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int round = 0; round < static_cast<int>(test::scaled(20'000)); ++round) {
        const int number = (round * 7 + thread) % 16;
        if (thread < 2 && round % 4 == 0)
          table.insert(key_of(number), program(64, static_cast<char>('a' + number)));
        const auto found = table.find(key_of(number));
        if (found && found->at("image") != std::string(64, static_cast<char>('a' + number))) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(table.counts().programs <= 8);
  CHECK(table.counts().hits > 0);
}
