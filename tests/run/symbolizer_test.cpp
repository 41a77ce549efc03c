// Source lines of return addresses: calls, inlined headers, code without debug information, no code at all.
#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "compiler/symbolizer.h"

using calque::source_line;

namespace {

[[gnu::noipa]] const void* where_called() { return __builtin_return_address(0); }

std::string here(int line) { return "symbolizer_test.cpp:" + std::to_string(line); }

}  // namespace

// Pretends that an inlined function lies in a header of Calque, and one around it in the standard library.
#line 1 "/somewhere/include/calque/pretended.h"
[[gnu::always_inline]] static inline const void* called_in_header() {
  const void* address = where_called();
  asm volatile("" : "+r"(address));  // else the call becomes a jump
  return address;
}
#line 1 "/usr/include/c++/12/pretended_algorithm.h"
[[gnu::always_inline]] static inline const void* called_in_library() { return called_in_header(); }
[[gnu::noipa]] static const void* called_in_library_only() { return called_in_header(); }
#line 32 "tests/run/symbolizer_test.cpp"

// A function to which no line table refers: data in a section of its own (no operation, return).
asm(R"(.pushsection .text.without_lines,"ax",@progbits
.globl _ZN6calque13without_linesEi
.type _ZN6calque13without_linesEi, @function
_ZN6calque13without_linesEi:
  .byte 0x90, 0xc3
.size _ZN6calque13without_linesEi, . - _ZN6calque13without_linesEi
.popsection)");
namespace calque {
void without_lines(int);
}

TEST_CASE("a return address names the line of its call") {
  const void* first = where_called();
  const int line = __LINE__ - 1;
  CHECK(source_line(first) == here(line));
  const void* second = where_called();
  CHECK(source_line(second) == here(line + 3));
  CHECK(source_line(first) == here(line));  // answered from what is kept
}

TEST_CASE("inlined functions of headers are looked through") {
  const void* address = called_in_header();
  CHECK(source_line(address) == here(__LINE__ - 1));
  const void* deeper = called_in_library();
  CHECK(source_line(deeper) == here(__LINE__ - 1));
}

TEST_CASE("where nothing but headers is known, the innermost line is named") {
  CHECK(source_line(called_in_library_only()) == "pretended.h:2");
}

TEST_CASE("code without debug information is named by its function") {
  const auto* function = reinterpret_cast<const char*>(&calque::without_lines);
  CHECK(source_line(function + 1) == "calque::without_lines(int)");
}

TEST_CASE("addresses of nothing have no line") {
  CHECK(source_line(nullptr).empty());
  const auto memory = std::make_unique<char[]>(64);
  CHECK(source_line(memory.get() + 32).empty());
  CHECK(source_line(reinterpret_cast<const void*>(uintptr_t{1})).empty());
}

TEST_CASE("threads may ask at once") {
  const void* address = where_called();
  const std::string expected = here(__LINE__ - 1);
  std::vector<std::string> answers(8);
  std::vector<std::thread> threads;
  for (std::string& answer : answers) threads.emplace_back([&] { answer = source_line(address); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) CHECK(answer == expected);
}
