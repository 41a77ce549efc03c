// A warm cache as one file: a header, then entries, each with its length before it. No names are stored: what
// an entry is called follows from its key.
#pragma once

#include <string>

#include "calque/cache.h"
#include "compiler/cache.h"

namespace calque {

/// What export_cache() does, with this cache.
CacheTransfer export_archive(const DiskCache& cache, const std::string& path);

/// What import_cache() does, with this cache.
CacheTransfer import_archive(DiskCache& cache, const std::string& path);

}  // namespace calque
