// Programs that a test starts: with an environment of their own, their output kept, side by side.
#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace calque::test {

struct Ended {
  int exit_code = -1;  // -1: killed by a signal
  std::string output, errors;

  /// Lines of warnings and failures: `calque: ...`.
  int warnings() const {
    int count = errors.starts_with("calque: ");
    for (size_t at = errors.find("\ncalque: "); at != std::string::npos;
         at = errors.find("\ncalque: ", at + 1))
      ++count;
    return count;
  }
};

/// This test's own program, and what the build puts beside it.
inline std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }
inline std::string program_beside(const std::string& name) {
  return std::filesystem::path(own_program()).parent_path() / name;
}

/// A running program. It inherits the environment except all that leads to a cache folder.
class Child {
 public:
  /// The first argument is the program; `settings` are entries NAME=value of its environment.
  Child(std::vector<std::string> arguments, const std::vector<std::string>& settings) {
    std::vector<std::string> environment = settings;
    for (char** entry = environ; *entry; ++entry) {
      const std::string text = *entry, name = text.substr(0, text.find('='));
      const bool leads = name.starts_with("CALQUE_CACHE") || name == "XDG_CACHE_HOME" || name == "HOME";
      if (!leads) environment.push_back(text);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output_, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors_, STDERR_FILENO);
    const int fault = posix_spawn(&id_, arguments[0].c_str(), &actions, nullptr, pointers(arguments).data(),
                                  pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (fault != 0) throw std::runtime_error("cannot start " + arguments[0]);
  }
  Child(Child&& other) noexcept
      : id_(std::exchange(other.id_, 0)),
        output_(std::exchange(other.output_, -1)),
        errors_(std::exchange(other.errors_, -1)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (id_ != 0) {
      kill();
      waitpid(id_, nullptr, 0);
    }
    if (output_ >= 0) close(output_);
    if (errors_ >= 0) close(errors_);
  }

  void kill() const { ::kill(id_, SIGKILL); }

  Ended wait() {
    int status = 0;
    waitpid(std::exchange(id_, 0), &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(output_), text_of(errors_)};
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
  }

  static std::string text_of(int file) {
    std::string text(static_cast<size_t>(lseek(file, 0, SEEK_END)), '\0');
    return pread(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) ? text : "";
  }

  pid_t id_ = 0;
  int output_ = memfd_create("output", MFD_CLOEXEC), errors_ = memfd_create("errors", MFD_CLOEXEC);
};

inline Ended run_program(std::vector<std::string> arguments, const std::vector<std::string>& settings) {
  return Child(std::move(arguments), settings).wait();
}

}  // namespace calque::test
