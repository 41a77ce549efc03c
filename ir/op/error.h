// The three families of errors: the user's, the environment's, ours.
#pragma once

#include <stdexcept>
#include <string>

#pragma GCC visibility push(default)

namespace calque {

/// Base of every exception that Calque throws.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Bad input: a shape, a dtype, an argument, a file. The sentence says what, where and what to do.
struct UserError : Error {
  using Error::Error;
};
/// The machine refused: no memory, disk full, a plugin that cannot be opened.
struct EnvironmentError : Error {
  using Error::Error;
};
/// A broken invariant of Calque itself; never reached by user input. Please report it.
struct InternalError : Error {
  using Error::Error;
};

}  // namespace calque

#pragma GCC visibility pop
