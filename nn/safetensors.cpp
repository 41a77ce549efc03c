// Reading and writing safetensors files: lengths, bytes, and a rename that makes a file appear whole.
#include "calque/nn/safetensors.h"

#include "nn/file.h"
#include "nn/safetensors_header.h"

namespace calque {

namespace {

SafetensorsFile read_tensors(File& file) {
  const uint64_t file_bytes = file.size();
  uint64_t header_bytes = 0;
  if (file_bytes < 8 || !file.read(&header_bytes, 8))
    throw UserError("it is shorter than the 8 bytes of a header's length");
  if (header_bytes > safetensors::kMaxHeaderBytes) throw UserError("its header claims more than 100 MB");
  if (header_bytes > file_bytes - 8) throw UserError("its header claims more bytes than the file has");
  std::string text(header_bytes, '\0');
  if (!file.read(text.data(), text.size())) throw UserError("it ends within its header");
  safetensors::Header header = safetensors::parse_header(text, file_bytes - 8 - header_bytes);
  SafetensorsFile result;
  for (const safetensors::Entry& entry : header.entries)
    result.tensors.emplace_back(entry.name, read_elements(file, entry.type));
  result.metadata = std::move(header.metadata);
  return result;
}

bool write_all(File& file, const std::string& header, const NamedTensors& tensors) {
  const uint64_t length = header.size();
  if (!file.write(&length, 8) || !file.write(header.data(), header.size())) return false;
  for (const auto& [name, tensor] : tensors)
    if (!write_elements(file, tensor)) return false;
  return true;
}

}  // namespace

void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  NamedTensors dense;
  for (const auto& [name, tensor] : tensors) dense.emplace_back(name, tensor.contiguous());
  std::string header;
  try {
    header = safetensors::format_header(dense, metadata);
  } catch (const UserError& error) {
    throw UserError("cannot save " + path + ": " + error.what());
  }
  write_file_whole(path, [&](File& file) { return write_all(file, header, dense); });
}

SafetensorsFile load_safetensors(const std::string& path) {
  SafetensorsFile result;
  read_file(path, "safetensors", [&](File& file) { result = read_tensors(file); });
  return result;
}

}  // namespace calque
