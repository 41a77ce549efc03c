// Saves and loads checkpoints.
#include "cli/checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>

namespace calque::cli {

namespace {

constexpr const char* kFormat = "calque language model 2";

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

/// Metadata by key, as text and as numbers within bounds.
class Reader {
 public:
  explicit Reader(const std::map<std::string, std::string>& metadata) : metadata_(metadata) {}

  const std::string& text(const char* key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) throw UserError(fmt::format("its metadata has no {}", key));
    return found->second;
  }
  template <class N>
  N number(const char* key, N least, N most) const {
    const std::string& digits = text(key);
    N value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || !(value >= least && value <= most))
      throw UserError(fmt::format("its {} is not a number from {} to {}", key, least, most));
    return value;
  }

 private:
  const std::map<std::string, std::string>& metadata_;
};

TrainingSettings read_settings(const Reader& metadata) {
  constexpr int64_t kMost = int64_t{1} << 20;
  TrainingSettings settings;
  settings.cell = cell_kind(metadata.text("cell")).name;
  settings.batch = metadata.number<int64_t>("batch", 1, kMost);
  settings.length = metadata.number<int64_t>("length", 1, kMost);
  settings.steps = metadata.number<int64_t>("steps", 1, int64_t{1} << 40);
  settings.learning_rate = metadata.number<double>("learning_rate", 0, 1e30);
  settings.clip = metadata.number<double>("clip", 0, 1e30);
  settings.seed = metadata.number<uint64_t>("seed", 0, ~uint64_t{0});
  return settings;
}

Checkpoint read_checkpoint(SafetensorsFile file) {
  const Reader metadata(file.metadata);
  if (metadata.text("format") != kFormat) throw UserError("its format is unknown");
  const NamedTensors parameters = nn::within(file.tensors, "model");
  const Tensor embedding = find(parameters, "embedding.weight");
  if (!embedding || embedding.rank() != 2 || embedding.size(1) < 1)
    throw UserError("it has no model.embedding.weight [V,H]");
  Checkpoint result{nullptr, nn::Vocabulary(from_hex(metadata.text("vocabulary"))), read_settings(metadata),
                    metadata.text("text"), file.tensors};
  if (result.vocabulary.size() != embedding.size(0))
    throw UserError("its vocabulary does not fit its embedding");
  const CellKind& kind = cell_kind(result.settings.cell);
  const int64_t hidden = result.settings.hidden = embedding.size(1);
  const Tensor recurrent = find(parameters, "cell.wh");  // before a model of this size is made: the file has one already
  if (!recurrent || !(recurrent.shape() == Shape{hidden, kind.gates * hidden}))
    throw UserError("it has no model.cell.wh that fits its embedding");
  result.model = std::make_unique<LanguageModel>(kind, embedding.size(0), hidden);
  result.model->load_state(parameters);
  return result;
}

}  // namespace

std::string fingerprint(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return fmt::format("{} bytes, {:016x}", text.size(), hash);
}

void save_checkpoint(const std::string& path, TrainingRun& run, const LanguageModel& model, const nn::Vocabulary& vocabulary,
                     const TrainingSettings& settings, const std::string& text) {
  run.checkpoint().save(path, {{"format", kFormat},
                               {"cell", model.kind.name},
                               {"vocabulary", to_hex(vocabulary.bytes())},
                               {"text", fingerprint(text)},
                               {"batch", fmt::format("{}", settings.batch)},
                               {"length", fmt::format("{}", settings.length)},
                               {"steps", fmt::format("{}", settings.steps)},
                               {"learning_rate", fmt::format("{}", settings.learning_rate)},
                               {"clip", fmt::format("{}", settings.clip)},
                               {"seed", fmt::format("{}", settings.seed)}});
}

Checkpoint load_checkpoint(const std::string& path) {
  SafetensorsFile file = load_safetensors(path);
  try {
    return read_checkpoint(std::move(file));
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
