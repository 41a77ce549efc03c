// The cache that compiling asks: what this process has made before, then what is on disk.
#pragma once

#include <optional>
#include <string>

#include "compiler/cache.h"

namespace calque {

/// The parts stored under this key text, by this process or on disk. Any number of threads.
std::optional<Blobs> load_plan(const std::string& key);
/// Keeps the parts in memory (the last 256 programs) and on disk.
void store_plan(const std::string& key, const Blobs& parts);

}  // namespace calque
