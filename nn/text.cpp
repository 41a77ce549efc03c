// Reading text and cutting it into batches.
#include "calque/nn/text.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace calque::nn {

std::string read_text(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    throw UserError(path + " is a folder; a text file is needed");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError("cannot open the text file " + path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) throw UserError("cannot read the text file " + path);
  return text;
}

std::string read_fortunes(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.symlink_status().type() == fs::file_type::regular && entry.path().extension() != ".dat")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) text += read_text(file);
  if (text.empty())
    throw UserError("there are no fortunes in " + folder +
                    "; install the package `fortunes` or name a text file");
  return text;
}

Vocabulary::Vocabulary(std::string_view text) {
  index_.fill(-1);
  for (const char byte : text) index_[static_cast<uint8_t>(byte)] = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (index_[byte] < 0) continue;
    index_[byte] = static_cast<int16_t>(bytes_.size());
    bytes_ += static_cast<char>(byte);
  }
}

std::vector<int64_t> Vocabulary::encode(std::string_view text) const {
  std::vector<int64_t> result;
  result.reserve(text.size());
  for (const char byte : text) {
    const int16_t index = index_[static_cast<uint8_t>(byte)];
    if (index < 0)
      throw UserError("byte " + std::to_string(static_cast<uint8_t>(byte)) +
                      " does not occur in the text that the vocabulary was made of");
    result.push_back(index);
  }
  return result;
}

TextBatches::TextBatches(std::vector<int64_t> tokens, int64_t batch, int64_t steps)
    : tokens_(std::move(tokens)), batch_(batch), steps_(steps) {
  if (batch < 1 || steps < 1) throw UserError("batches need at least one stream and one step");
  const auto count = static_cast<int64_t>(tokens_.size());
  stream_length_ =
      count > 0 ? (count - 1) / batch : 0;  // the last input of the last stream has a target, too
  pieces_ = stream_length_ / steps;
  if (pieces_ == 0)
    throw UserError("a text of " + std::to_string(count) + " bytes is too short for " +
                    std::to_string(batch) + " streams of " + std::to_string(steps) + " steps");
}

TextBatch TextBatches::operator[](int64_t number) const {
  const int64_t start = number % pieces_ * steps_;
  std::vector<int64_t> inputs(batch_ * steps_), targets(batch_ * steps_);
  for (int64_t t = 0; t < steps_; ++t) {
    for (int64_t b = 0; b < batch_; ++b) {
      const int64_t at = b * stream_length_ + start + t;
      inputs[t * batch_ + b] = tokens_[at];
      targets[t * batch_ + b] = tokens_[at + 1];
    }
  }
  return {from_vector(inputs), from_vector(targets), steps_, start == 0};
}

}  // namespace calque::nn
