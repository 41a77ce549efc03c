// Checkpoints: a safetensors file with the model's parameters, and in its metadata what else is needed to use
// it.
#pragma once

#include <memory>
#include <string>

#include "cli/training.h"

namespace calque::cli {

struct Checkpoint {
  std::unique_ptr<LanguageModel> model;
  nn::Vocabulary vocabulary;
};

/// Writes the file whole or not at all.
void save_checkpoint(const std::string& path, const LanguageModel& model, const nn::Vocabulary& vocabulary,
                     int64_t steps);

/// Throws UserError when the file is not a checkpoint of `calque train` or `calque demo`.
Checkpoint load_checkpoint(const std::string& path);

/// Creates the folder and those above it. Throws EnvironmentError.
void make_folder(const std::string& path);

/// Writes a text file. Throws EnvironmentError.
void write_text(const std::string& path, const std::string& text);

}  // namespace calque::cli
