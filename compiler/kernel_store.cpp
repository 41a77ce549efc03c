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

struct Found {
  KernelText text;
  Image image;  // null: none yet
};

/// Code for the fusion's own sizes is simpler: if there is some, it is taken.
Found look_up(const Node& fusion, RowLength length) {
  KernelText own = kernel_text(fusion);
  Image image = KernelStore::instance().find(own.text);
  if (image || length == RowLength::own) return {std::move(own), std::move(image)};
  KernelText any = kernel_text(fusion, RowLength::any);
  image = KernelStore::instance().find(any.text);
  return {std::move(any), std::move(image)};
}

void append(CodegenOutput& all, CodegenOutput one) {
  all.image = std::move(one.image);
  all.llvm_ir += one.llvm_ir;
  all.assembly += one.assembly;
}

}  // namespace

std::optional<Kernels> known_kernels(const Graph& lowered, RowLength length) {
  if (!settings().dump_dir.empty()) return std::nullopt;
  Kernels kernels;
  for (const Node* fusion : fusions_of(lowered)) {
    auto [text, image] = look_up(*fusion, length);
    if (!image) return std::nullopt;
    kernels.push_back({std::move(image), std::move(text.constants)});
  }
  return kernels;
}

Kernels generated_kernels(const Graph& lowered, RowLength length, const std::string& dump_name, uint64_t& generations) {
  const bool dumps = !settings().dump_dir.empty();
  Kernels kernels;
  CodegenOutput dumped;
  for (const Node* fusion : fusions_of(lowered)) {
    auto [text, image] = look_up(*fusion, length);
    if (!image || dumps) {
      ++generations;
      CodegenOutput output = generate(text.text, dumps);
      image = KernelStore::instance().add(text.text, image_of(output.image));
      append(dumped, std::move(output));
    }
    if (text.length == RowLength::any && !image->takes_any_columns(0))
      throw InternalError("a kernel that was asked for rows of any length takes some only");
    kernels.push_back({std::move(image), std::move(text.constants)});
  }
  dump_code(dump_name, dumped);
  return kernels;
}

std::string key_of_kernels(const Graph& lowered, RowLength length) {
  std::string key;
  for (const Node* fusion : fusions_of(lowered)) key += look_up(*fusion, length).text.text;
  return key;
}

Kernels stored_kernels(const Graph& lowered, std::span<const std::string> images) {
  const std::vector<const Node*> fusions = fusions_of(lowered);
  if (fusions.size() != images.size()) throw EnvironmentError("compiled code is broken: it holds another number of kernels");
  Kernels kernels;
  for (size_t i = 0; i < fusions.size(); ++i) {
    Image image = image_of(std::as_bytes(std::span(images[i])));
    KernelText text = kernel_text(*fusions[i], image->takes_any_columns(0) ? RowLength::any : RowLength::own);
    kernels.push_back({KernelStore::instance().add(text.text, std::move(image)), std::move(text.constants)});
  }
  return kernels;
}

CodegenOutput generated_text(const Graph& lowered, RowLength length) {
  CodegenOutput all;
  for (const Node* fusion : fusions_of(lowered)) append(all, generate(look_up(*fusion, length).text.text, true));
  return all;
}

}  // namespace calque
