// safetensors files: named tensors and text metadata (the format: github.com/huggingface/safetensors).
#pragma once

#include <map>
#include <string>

#include "calque/nn/module.h"

#pragma GCC visibility push(default)

namespace calque {

struct SafetensorsFile {
  NamedTensors tensors;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Writes the tensors in the given order. The file appears whole or not at all: it is written beside `path`
/// under another name, synced and renamed. Throws UserError for names that are taken twice, reserved or not
/// UTF-8, EnvironmentError when the disk refuses.
void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

/// Reads a whole file, trusting nothing in it. dtypes F32, F64, I64, I32 and BOOL. Throws UserError naming
/// what is wrong: a header over 100 MB or longer than the file, text that is not the JSON the format asks
/// for, offsets outside the buffer, overlaps, holes, names or keys given twice, or sizes that disagree.
SafetensorsFile load_safetensors(const std::string& path);

}  // namespace calque

#pragma GCC visibility pop
