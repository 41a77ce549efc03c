// Folders and files of tests on the cache, and processes that may be killed.
#pragma once

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "compiler/cache.h"
#include "compiler/cache_entry.h"
#include "ir/op/error.h"

namespace calque::test {

inline constexpr uint64_t kPlenty = uint64_t{1} << 30;

/// A folder of this test alone, removed at its end.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "calque-cache-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
}

/// Names in a folder, in order; none where there is no folder.
inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder, error))
    names.push_back(file.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

/// Whether entries are all that the folder holds: no temporary file is left.
inline bool holds_entries_only(const std::string& folder) {
  const std::vector<std::string> names = names_in(folder);
  return std::all_of(names.begin(), names.end(), is_entry_file_name);
}

inline std::string path_of(const DiskCache& cache, std::string_view key) {
  return cache.folder() + "/" + entry_file_name(key);
}

/// Silence on stderr while it lives.
class Quiet {
 public:
  Quiet() : before_(dup(STDERR_FILENO)) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
  }
  ~Quiet() {
    dup2(before_, STDERR_FILENO);
    close(before_);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  int before_;
};

/// Runs the body in a process of its own; gives its id.
inline pid_t start_process(const std::function<bool()>& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(body() ? 0 : 1);
  return child;
}

inline bool ended_well(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline Blobs parts_of(int number) {
  return {{"image", std::string(20000 + 997 * static_cast<size_t>(number), static_cast<char>('a' + number))},
          {"lowered", "graph " + std::to_string(number)}};
}

inline std::string key_of(int number) { return "key text number " + std::to_string(number); }

inline bool is_refused(const DiskCache& cache) {
  try {
    cache.list();
  } catch (const EnvironmentError&) {
    return true;
  }
  return false;
}

/// As if the file had last been used in January 1970.
inline void make_old(const std::string& path, time_t seconds = 1'000'000) {
  const timespec time[2] = {{seconds, 0}, {seconds, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), time, 0) == 0);
}

}  // namespace calque::test
