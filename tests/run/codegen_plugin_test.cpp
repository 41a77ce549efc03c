// The C entry of the code generator: several kernels, text, errors as sentences, many threads; and what
// images look like.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "calque/kernel_abi.h"
#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "tests/run/codegen_harness.h"

namespace calque::test {
namespace {

std::string error_of(const calque_codegen_request& request) {
  calque_codegen_result result;
  const int failed = codegen_plugin().compile(&request, &result);
  const std::string error = result.error ? result.error : "";
  CHECK((failed != 0) == !error.empty());
  if (failed) CHECK((result.image == nullptr && result.llvm_ir == nullptr && result.assembly == nullptr));
  codegen_plugin().release(&result);
  return error;
}

/// A fusion that the verifier lets through or not, as given.
std::string error_of(const FusionText& fusion, const std::string& isa) {
  const std::string text = to_text(fusion);
  return error_of(codegen_request(text, isa));
}

const Type kVector{DType::f32, {40}};
FusionText map_of(const std::string& op) {
  return {{kVector}, {kVector}, Domain::flat, 1, 40, fmt::format("%0 = {} %x0 : f32[40]\n return %0", op)};
}

TEST_CASE("each fusion of a graph becomes a kernel, in order; other nodes are left out") {
  const std::string text =
      "graph @two(%a: f32[16,40], %b: f32[40,8]) -> (f32[16,8], f32[16,40]) {\n"
      "  %0 = fusion %a {domain = 0, rows = 1, columns = 640} : f32[16,40] (%x: f32[16,40]) {\n"
      "    %0 = tanh %x : f32[16,40]\n    return %0\n  }\n  %1 = matmul %0, %b : f32[16,8]\n"
      "  %2 = fusion %1 {domain = 1, rows = 16, columns = 8} : f32[16,1] (%x: f32[16,8]) {\n"
      "    %0 = sum %x {keepdim = true, axes = [1]} : f32[16,1]\n    return %0\n  }\n"
      "  %3 = add %1, %2 : f32[16,8]\n  return %3, %0\n}\n";
  for (const std::string& isa : tested_isas()) {
    const MappedImage image(text, isa);
    REQUIRE(image.kernel_count() == 2);
    const Literal a = plain_sample({DType::f32, {16, 8}}, 3);
    Literal sums({DType::f32, {16, 1}});
    void* const buffers[] = {const_cast<std::byte*>(a.bytes.data()), sums.bytes.data()};
    const int64_t strides[] = {32, 4};
    image.run(1, buffers, strides, 0, 16);
    const Literal expected =
        interpret(parse("graph @sum(%x: f32[16,8]) -> (f32[16,1]) {\n"
                        "  %0 = sum %x {keepdim = true, axes = [1]} : f32[16,1]\n  return %0\n}\n"),
                  {&a, 1})[0];
    CHECK(difference(expected, sums).empty());
  }
  for (const std::string& isa : tested_isas())
    CHECK(MappedImage("graph @none(%a: f32[2]) -> (f32[2]) {\n  return %a\n}\n", isa).kernel_count() == 0);
}

TEST_CASE("an image states what it is, and the same request gives the same bytes") {
  const std::string text = to_text(map_of("exp"));
  for (const std::string& isa : tested_isas()) {
    calque_codegen_request request = codegen_request(text, isa);
    calque_codegen_result first, second;
    REQUIRE(codegen_plugin().compile(&request, &first) == 0);
    request.want_text = 1;
    REQUIRE(codegen_plugin().compile(&request, &second) == 0);
    const auto& header = *reinterpret_cast<const calque_image_header*>(first.image);
    CHECK(header.magic == CALQUE_IMAGE_MAGIC);
    CHECK(header.abi_version == CALQUE_KERNEL_ABI_VERSION);
    CHECK(header.image_bytes == first.image_bytes);
    CHECK(header.code_offset % 64 == 0);
    REQUIRE(second.image_bytes == first.image_bytes);
    CHECK(std::memcmp(first.image, second.image, first.image_bytes) == 0);
    CHECK((first.llvm_ir == nullptr && first.assembly == nullptr));
    CHECK(std::string(second.llvm_ir).find("define hidden void @kernel_0") != std::string::npos);
    CHECK(std::string(second.llvm_ir).find(" fast ") == std::string::npos);
    CHECK(std::string(second.assembly).find("vfmadd") != std::string::npos);
    CHECK((std::string(second.assembly).find("zmm") != std::string::npos) == (isa == "avx512"));
    codegen_plugin().release(&first);
    codegen_plugin().release(&second);
  }
  CHECK(std::string(codegen_plugin().version()).starts_with("LLVM 19."));
}

TEST_CASE("what cannot be compiled is refused with a sentence") {
  const std::string text = to_text(map_of("exp")), isa = "avx2";
  calque_codegen_request request = codegen_request(text, isa);
  request.abi_version += 1;
  CHECK(error_of(request).find("another build") != std::string::npos);
  request = codegen_request(text, isa);
  request.build_id = "0123";
  CHECK(error_of(request).find("another build") != std::string::npos);
  request.build_id = nullptr;
  CHECK(error_of(request).find("another build") != std::string::npos);
  request = codegen_request(text, isa);
  request.isa = "sse2";
  CHECK(error_of(request).find("sse2") != std::string::npos);
  request.isa = nullptr;
  CHECK(error_of(request).find("incomplete") != std::string::npos);
  request = codegen_request(text, isa);
  request.graph_bytes /= 2;
  CHECK(error_of(request).find(":") != std::string::npos);  // the parser's line and column

  const Type wide{DType::f32, {2, 5000}}, one{DType::f32, {2, 1}};
  CHECK(error_of({{wide},
                  {one},
                  Domain::rows,
                  2,
                  5000,
                  "%0 = sum %x0 {keepdim = true, axes = [1]} : f32[2,1]\n return %0"},
                 isa)
            .find("longer than one block") != std::string::npos);
  const Type matrix{DType::f32, {3, 4}}, vector{DType::f32, {4}};
  CHECK(error_of({{matrix},
                  {vector},
                  Domain::columns,
                  3,
                  4,
                  "%0 = max %x0 {keepdim = true, axes = [0]} : f32[1,4]\n %1 = sub %x0, %0 : f32[3,4]\n"
                  " %2 = sum %1 {keepdim = false, axes = [0]} : f32[4]\n return %2"},
                 isa)
            .find("another sum") != std::string::npos);
  std::string block;
  for (int i = 0; i < 4200; ++i)
    block += fmt::format("%{} = neg %{} : f32[40]\n", i, i == 0 ? "x0" : std::to_string(i - 1));
  block += " return %4199";
  CHECK(error_of({{kVector}, {kVector}, Domain::flat, 1, 40, block}, isa).find("nodes in one body") !=
        std::string::npos);
}

TEST_CASE("a long body compiles") {
  std::string block = "%0 = sigmoid %x0 : f32[40]\n";
  for (int i = 1; i < 400; ++i)
    block += fmt::format("%{} = {} %{}, %x0 : f32[40]\n", i, i % 2 ? "add" : "mul", i - 1);
  block += " return %399, %200";
  const FusionText fusion{{kVector}, {kVector, kVector}, Domain::flat, 1, 40, block};
  const Literal input = plain_sample(kVector, 5);
  check_against_interpreter(to_text(fusion), {&input, 1});
}

TEST_CASE("any number of threads compile at once") {
  const std::vector<std::string> isas = tested_isas();
  std::vector<std::string> texts;
  for (const char* op : {"exp", "tanh", "log", "sigmoid"}) texts.push_back(to_text(map_of(op)));
  codegen_plugin();
  std::vector<std::vector<uint8_t>> images(16);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < images.size() && !isas.empty(); ++t)
    threads.emplace_back([&, t] {
      for (int repeat = 0; repeat < 3; ++repeat) {
        const calque_codegen_request request = codegen_request(texts[t % 4], isas[t / 4 % isas.size()]);
        calque_codegen_result result;
        if (codegen_plugin().compile(&request, &result) == 0)
          images[t].assign(result.image, result.image + result.image_bytes);
        codegen_plugin().release(&result);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < threads.size(); ++t) {
    REQUIRE(!images[t].empty());
    const Graph graph = parse(texts[t % 4]);
    const Literal input = sample(kVector, t);
    const MappedImage image{std::span<const uint8_t>(images[t])};
    const std::string found =
        difference(interpret(graph, {&input, 1})[0], run_generated(image, graph, {&input, 1})[0]);
    INFO(found);
    CHECK(found.empty());
  }
}

}  // namespace
}  // namespace calque::test
