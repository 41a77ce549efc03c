// Opens the code generator and asks it for code.
#include "compiler/codegen_client.h"

#include <fmt/format.h>

#include <atomic>
#include <cstring>

#include "calque/kernel_abi.h"
#include "calque_build_id.h"
#include "codegen/cpu/plugin_api.h"
#include "compiler/plugin.h"
#include "ir/op/error.h"
#include "runtime/kernels/isa.h"

namespace calque {

namespace {

std::atomic<bool> was_opened = false;

/// The plugin's functions. Its version is checked here, its build at every request, by the plugin.
struct Codegen {
  Plugin plugin{"libcalque_cpu_codegen.so"};
  decltype(calque_codegen_compile)* compile =
      plugin.function<decltype(calque_codegen_compile)>("calque_codegen_compile");
  decltype(calque_codegen_release)* release =
      plugin.function<decltype(calque_codegen_release)>("calque_codegen_release");
  decltype(calque_codegen_version)* version =
      plugin.function<decltype(calque_codegen_version)>("calque_codegen_version");

  Codegen() {
    if (codegen_version() == version()) return;
    throw EnvironmentError(
        fmt::format("the plugin {} has {}, but this library was built for {}; install both together",
                    plugin.path(), version(), codegen_version()));
  }
};

const Codegen& codegen() {
  static const Codegen instance;  // where opening throws, the next call tries again
  was_opened.store(true, std::memory_order_relaxed);
  return instance;
}

/// What the plugin answered; gives it back when it goes out of scope.
struct Answer {
  const Codegen& from;
  calque_codegen_result result{};
  explicit Answer(const Codegen& codegen) : from(codegen) {}
  ~Answer() { from.release(&result); }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
};

std::string text_or_empty(const char* text) { return text ? text : ""; }

}  // namespace

std::string codegen_version() { return CALQUE_LLVM_VERSION; }

std::string codegen_build_id() { return CALQUE_BUILD_ID; }

std::string codegen_isa() {
  switch (kernels::isa_level()) {
    case kernels::IsaLevel::avx512:
      return "avx512";
    case kernels::IsaLevel::avx2:
      return "avx2";
    case kernels::IsaLevel::baseline:
      break;
  }
  throw EnvironmentError("compiling needs AVX2 and FMA");
}

bool codegen_was_opened() { return was_opened.load(std::memory_order_relaxed); }

CodegenOutput generate(const std::string& graph_text, bool want_text) {
  const std::string isa = codegen_isa();
  Answer answer(codegen());
  const calque_codegen_request request{CALQUE_KERNEL_ABI_VERSION, CALQUE_BUILD_ID, graph_text.c_str(),
                                       graph_text.size(),         isa.c_str(),     want_text};
  const int code = answer.from.compile(&request, &answer.result);
  if (code != 0 || answer.result.error || !answer.result.image)
    throw EnvironmentError(fmt::format("the code generator failed: {}",
                                       answer.result.error ? answer.result.error : "it gives no reason"));
  CodegenOutput output;
  output.image.resize(answer.result.image_bytes);
  std::memcpy(output.image.data(), answer.result.image, answer.result.image_bytes);
  output.llvm_ir = text_or_empty(answer.result.llvm_ir);
  output.assembly = text_or_empty(answer.result.assembly);
  return output;
}

}  // namespace calque
