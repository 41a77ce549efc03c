// The code generator behind its plugin: generated kernels run, refusals are sentences, a warm process does
// not open it.
#include <catch2/catch.hpp>

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "calque/kernel_abi.h"
#include "compiler/codegen_client.h"
#include "compiler/image.h"
#include "ir/op/error.h"
#include "tests/support/can_compile.h"

using namespace calque;
using test::can_compile;

namespace {

const char* const kTwiceX = R"(graph @twice(%x: f32[8]) -> (f32[8]) {
  %0 = fusion %x {domain = 0, rows = 1, columns = 8} : f32[8] (%x0: f32[8]) {
    %0 = add %x0, %x0 : f32[8]
    return %0
  }
  return %0
}
)";

std::string failure_of(const std::string& graph_text) {
  try {
    generate(graph_text, false);
  } catch (const EnvironmentError& error) {
    return error.what();
  }
  return "";
}

/// What a shell command writes; it must succeed.
std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> chunk;
  while (const size_t count = fread(chunk.data(), 1, chunk.size(), pipe)) text.append(chunk.data(), count);
  const int status = pclose(pipe);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return text;
}

}  // namespace

TEST_CASE("a generated kernel runs") {
  if (!can_compile()) return;
  const CodegenOutput output = generate(kTwiceX, false);
  CHECK(codegen_was_opened());
  CHECK(output.llvm_ir.empty());
  CHECK(output.assembly.empty());
  const ExecutableImage image = ExecutableImage::from_bytes(output.image);
  REQUIRE(image.kernel_count() == 1);
  alignas(64) std::array<float, 8> x{0, 1, 2, 3, 4, 5, 6, 7}, y{};
  void* buffers[] = {x.data(), y.data()};
  const int64_t strides[] = {0, 0};
  std::string scratch(image.scratch_bytes(0) + 64, '\0');
  void* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  image.kernel(0)(buffers, strides, 0, 8, 0, 0, aligned);
  for (size_t i = 0; i < 8; ++i) CHECK(y[i] == 2 * x[i]);
}

TEST_CASE("text is there when it is asked for") {
  if (!can_compile()) return;
  const CodegenOutput output = generate(kTwiceX, true);
  CHECK(output.llvm_ir.find("fadd") != std::string::npos);
  CHECK(output.assembly.find("vaddps") != std::string::npos);
}

TEST_CASE("a failure is a sentence, and the generator works on") {
  if (!can_compile()) {
    CHECK(failure_of(kTwiceX) == "compiling needs AVX2 and FMA");
    CHECK_THROWS_AS(codegen_isa(), EnvironmentError);
    return;
  }
  for (const char* text : {"", "graph", "no graph at all", "graph @g(%x: f32[8]) -> (f32[8]) { return %y }"})
    CHECK(failure_of(text).starts_with("the code generator failed: "));
  CHECK(failure_of(kTwiceX).empty());
  CHECK(codegen_isa() == kernels::name(kernels::isa_level()));
}

TEST_CASE("versions are known without the plugin") {
  CHECK(codegen_version().starts_with("LLVM 19."));
  CHECK(codegen_build_id().size() == 16);
}

TEST_CASE("a process that finds everything in the cache opens no compiler") {
  if (!can_compile()) return;
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "calque").string();
  if (!std::filesystem::exists(program)) return;
  std::string folder = (std::filesystem::temp_directory_path() / "calque-warm-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  // The dynamic linker itself says which objects it opens.
  const std::string command = "CALQUE_CACHE=1 CALQUE_CACHE_DIR=" + folder + " LD_DEBUG=files '" + program +
                              "' dump --stage lower --hidden 32 --batch 2 2>&1";
  const std::string cold = output_of(command), warm = output_of(command);
  std::filesystem::remove_all(folder);
  CHECK(cold.find("libcalque_cpu_codegen.so") != std::string::npos);
  CHECK(warm.find("libcalque_cpu_codegen.so") == std::string::npos);
  CHECK(warm.find("fusion") != std::string::npos);
}
