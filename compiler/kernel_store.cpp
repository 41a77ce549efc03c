// A bounded map from the text of a kernel to its code.
#include "compiler/kernel_store.h"

#include <deque>
#include <mutex>
#include <unordered_map>

#include "compiler/compile_dump.h"
#include "compiler/settings.h"
#include "ir/op/error.h"

namespace calque {

namespace {

using Image = std::shared_ptr<const ExecutableImage>;

/// Plans hold the kernels that they use, so what the store lets go of is only not found any more.
class KernelStore {
 public:
  static KernelStore& instance() {
    static auto* const store = new KernelStore;  // compiled functions may outlive static destruction
    return *store;
  }

  Image find(const std::string& text) {
    const std::lock_guard lock(mutex_);
    const auto found = kernels_.find(text);
    return found == kernels_.end() ? nullptr : found->second;
  }

  /// Where two threads made the same kernel, the first one stays.
  Image add(const std::string& text, Image image) {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] = kernels_.try_emplace(text, std::move(image));
    const Image kept = entry->second;
    if (is_new) order_.push_back(text);
    if (order_.size() > kMostKernels) {
      kernels_.erase(order_.front());
      order_.pop_front();
    }
    return kept;
  }

 private:
  static constexpr size_t kMostKernels = 2048;
  std::mutex mutex_;
  std::unordered_map<std::string, Image> kernels_;
  std::deque<std::string> order_;  // oldest first
};

Image image_of(std::span<const std::byte> bytes) {
  auto image = std::make_shared<const ExecutableImage>(ExecutableImage::from_bytes(bytes));
  if (image->kernel_count() != 1) throw EnvironmentError("a compiled image is broken: it does not hold one kernel");
  return image;
}

void append(CodegenOutput& all, CodegenOutput one) {
  all.image = std::move(one.image);
  all.llvm_ir += one.llvm_ir;
  all.assembly += one.assembly;
}

}  // namespace

std::optional<Kernels> known_kernels(const Graph& lowered) {
  if (!settings().dump_dir.empty()) return std::nullopt;
  Kernels kernels;
  for (auto& [text, constants] : kernel_texts(lowered)) {
    Image image = KernelStore::instance().find(text);
    if (!image) return std::nullopt;
    kernels.push_back({std::move(image), std::move(constants)});
  }
  return kernels;
}

Kernels generated_kernels(const Graph& lowered, const std::string& dump_name, uint64_t& generations) {
  const bool dumps = !settings().dump_dir.empty();
  Kernels kernels;
  CodegenOutput dumped;
  for (const auto& [text, constants] : kernel_texts(lowered)) {
    Image image = KernelStore::instance().find(text);
    if (!image || dumps) {
      ++generations;
      CodegenOutput output = generate(text, dumps);
      image = KernelStore::instance().add(text, image_of(output.image));
      append(dumped, std::move(output));
    }
    kernels.push_back({std::move(image), constants});
  }
  dump_code(dump_name, dumped);
  return kernels;
}

Kernels stored_kernels(const Graph& lowered, std::span<const std::string> images) {
  const std::vector<KernelText> texts = kernel_texts(lowered);
  if (texts.size() != images.size()) throw EnvironmentError("compiled code is broken: it holds another number of kernels");
  Kernels kernels;
  for (size_t i = 0; i < texts.size(); ++i) {
    Image image = KernelStore::instance().add(texts[i].text, image_of(std::as_bytes(std::span(images[i]))));
    kernels.push_back({std::move(image), texts[i].constants});
  }
  return kernels;
}

CodegenOutput generated_text(const Graph& lowered) {
  CodegenOutput all;
  for (const KernelText& kernel : kernel_texts(lowered)) append(all, generate(kernel.text, true));
  return all;
}

}  // namespace calque
