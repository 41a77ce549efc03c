// Our linker: an ELF object of position-independent code in, a flat image (calque/kernel_abi.h) out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace calque::codegen {

struct KernelSymbol {
  std::string name;
  uint64_t scratch_bytes = 0;
  uint64_t part_columns = 0;
  bool any_columns = false;
};

/// Lays out the read-only sections of the object, resolves what they refer to within it, and writes an entry
/// for each kernel, in order. Throws InternalError for an object that an image cannot hold: one that is
/// malformed, writes to its own data, refers to an outside symbol or to an absolute address, or lacks a
/// kernel.
std::vector<uint8_t> link_flat_image(std::span<const uint8_t> object, std::span<const KernelSymbol> kernels);

}  // namespace calque::codegen
