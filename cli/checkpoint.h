// Checkpoints of language models: a safetensors file with the state of a training, and in its metadata what else is needed to use
// it and to go on.
#pragma once

#include <memory>
#include <string>

#include "cli/training.h"

namespace calque::cli {

struct Checkpoint {
  std::unique_ptr<LanguageModel> model;
  nn::Vocabulary vocabulary;
  TrainingSettings settings;
  std::string text;      // which text it learned: fingerprint()
  NamedTensors tensors;  // what TrainingRun::go_on_from() takes
};

/// Length and hash (FNV-1a, 64 bits) of a text.
std::string fingerprint(const std::string& text);

/// Writes the file whole or not at all.
void save_checkpoint(const std::string& path, TrainingRun& run, const LanguageModel& model, const nn::Vocabulary& vocabulary,
                     const TrainingSettings& settings, const std::string& text);

/// Throws UserError when the file is not a checkpoint of `calque train` or `calque demo`.
Checkpoint load_checkpoint(const std::string& path);

/// Creates the folder and those above it. Throws EnvironmentError.
void make_folder(const std::string& path);

/// Writes a text file. Throws EnvironmentError.
void write_text(const std::string& path, const std::string& text);

}  // namespace calque::cli
