// Saves and loads checkpoints.
#include "cli/checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>

namespace calque::cli {

namespace {

constexpr const char* kFormat = "calque language model 1";

std::string to_hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<uint8_t>(byte));
  return text;
}

std::string from_hex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(&text[i], &text[i] + 2, byte, 16);
    if (error != std::errc() || end != &text[i] + 2) throw UserError("its vocabulary is not hexadecimal");
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

Checkpoint read_checkpoint(const SafetensorsFile& file) {
  const auto metadata = [&](const char* key) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) throw UserError(fmt::format("its metadata has no {}", key));
    return found->second;
  };
  if (metadata("format") != kFormat) throw UserError("its format is unknown");
  const Tensor embedding = find(file.tensors, "embedding.weight");
  if (!embedding || embedding.rank() != 2 || embedding.size(1) < 1)
    throw UserError("it has no embedding.weight [V,H]");
  Checkpoint result{nullptr, nn::Vocabulary(from_hex(metadata("vocabulary")))};
  if (result.vocabulary.size() != embedding.size(0))
    throw UserError("its vocabulary does not fit its embedding");
  const CellKind& kind = cell_kind(metadata("cell"));
  const int64_t hidden = embedding.size(1);
  const Tensor recurrent =
      find(file.tensors, "cell.wh");  // before a model of this size is made: the file has one already
  if (!recurrent || !(recurrent.shape() == Shape{hidden, kind.gates * hidden}))
    throw UserError("it has no cell.wh that fits its embedding");
  result.model = std::make_unique<LanguageModel>(kind, embedding.size(0), hidden);
  result.model->load_state(file.tensors);
  return result;
}

}  // namespace

void save_checkpoint(const std::string& path, const LanguageModel& model, const nn::Vocabulary& vocabulary,
                     int64_t steps) {
  save_safetensors(path, model.named_parameters(),
                   {{"format", kFormat},
                    {"cell", model.kind.name},
                    {"vocabulary", to_hex(vocabulary.bytes())},
                    {"steps", std::to_string(steps)}});
}

Checkpoint load_checkpoint(const std::string& path) {
  const SafetensorsFile file = load_safetensors(path);
  try {
    return read_checkpoint(file);
  } catch (const UserError& error) {
    throw UserError(fmt::format("{} is not a checkpoint of this program: {}", path, error.what()));
  }
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path))
    throw EnvironmentError(
        fmt::format("cannot create the folder {}: {}", path, error ? error.message() : "it is a file"));
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text << std::flush;
  if (!file) throw EnvironmentError(fmt::format("cannot write {}", path));
}

}  // namespace calque::cli
