// What a program sets up around its tensors: errors, the log sink, threads, spans over elements.
#include <catch2/catch.hpp>
#include <stdexcept>
#include <type_traits>

#include "calque/calque.h"
#include "compiler/log.h"
#include "runtime/log.h"

using namespace calque;

TEST_CASE("the families of errors have one base") {
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
  static_assert(std::is_base_of_v<Error, UserError> && std::is_base_of_v<Error, EnvironmentError> &&
                std::is_base_of_v<Error, InternalError>);
  CHECK_THROWS_AS(matmul(ones({2, 3}), ones({2, 3})), UserError);
}

TEST_CASE("lines go to the sink and not to stderr, whatever the sink does") {
  std::vector<std::string> lines;
  set_log_sink([&](const LogLine& line) {
    lines.push_back(std::string(line.topic) + "|" + std::string(line.text));
    CHECK((line.level == LogLevel::warning) == line.topic.empty());
    throw 1;  // dropped
  });
  write_log(LogTopic::cache, "a line");
  warn_once("comforts test", "a warning");
  warn_once("comforts test", "a warning");
  set_log_sink({});
  CHECK(lines == std::vector<std::string>{"cache|a line", "|a warning"});
}

TEST_CASE("a line written inside a sink is not given to it") {
  int calls = 0;
  set_log_sink([&](const LogLine&) {
    ++calls;
    warn("(from inside a sink, on purpose)");
  });
  warn("outside");
  set_log_sink({});
  CHECK(calls == 1);
}

TEST_CASE("the number of threads is set, within bounds") {
  const int before = num_threads();
  set_num_threads(3);
  CHECK(num_threads() == 3);
  CHECK_THROWS_AS(set_num_threads(0), UserError);
  CHECK_THROWS_AS(set_num_threads(100000), UserError);
  CHECK(num_threads() == 3);
  set_num_threads(before);
}

TEST_CASE("a span over a tensor reads and writes through strides") {
  Tensor x = reshape(arange(6), {2, 3});
  const Tensor turned = permute(x, {1, 0});
  const auto view = as_mdspan<const int64_t, 2>(turned);
  CHECK(view.extent(0) == 3);
  CHECK(view.stride(0) == 1);
  CHECK(view.size() == 6);
  CHECK(view(2, 1) == 5);
  const uint32_t version = x.version();
  as_mdspan<int64_t, 2>(x)(1, 2) = 50;
  CHECK(x.version() != version);
  CHECK(view(2, 1) == 50);
  CHECK(as_mdspan<const int64_t, 0>(Tensor(from_value<int64_t>(3)) = from_value<int64_t>(4))() == 4);
  CHECK_THROWS_AS((as_mdspan<const int64_t, 1>(x)), UserError);
  CHECK_THROWS_AS((as_mdspan<const float, 2>(x)), UserError);
}
