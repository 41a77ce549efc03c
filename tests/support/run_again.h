// Settings of a process are read once: to test another one, this program starts itself again.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace calque {

/// Exit code of this program when it runs one hidden test case with the given setting.
inline int run_again(const char* variable, const char* value, const char* test) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const pid_t child = fork();
  if (child == 0) {
    setenv(variable, value, 1);
    execl(program.c_str(), program.c_str(), test, nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace calque
