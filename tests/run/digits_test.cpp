// The example `digits` as a user runs it: it reaches the accuracy that such a network has, and compiling it changes nothing it prints.
#include <catch2/catch.hpp>

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

/// What the program prints; it must end well.
std::string printed(const std::string& arguments) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "digits";
  FILE* pipe = popen(("'" + program + "' " + arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  const int status = pclose(pipe);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return text;
}

}  // namespace

TEST_CASE("a perceptron learns real handwritten digits, eager and compiled with equal bits", "[.digits]") {
  const std::string eager = printed("--eager"), compiled = printed("");
  INFO(eager);
  CHECK(compiled == eager);
  const size_t colon = eager.rfind(": ");
  REQUIRE(colon != std::string::npos);
  CHECK(std::stod(eager.substr(colon + 2)) >= 0.96);  // 360 digits: three standard deviations below 98 %
}
