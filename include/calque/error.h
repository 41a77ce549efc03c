// The exceptions that Calque throws.
//
//   std::runtime_error
//     Error               everything that Calque throws: catch this one to catch all
//       UserError         what was asked for cannot be: shapes, dtypes, arguments, the contents of a file
//       EnvironmentError  the machine refused: no memory, no more threads, a full disk, a plugin that cannot be opened
//       InternalError     a broken promise of Calque's own; no input should ever reach one, please report it
//
// what() is one sentence: what was wrong, where, with which shapes, and what to do. Whatever threw left its arguments
// as they were, unless its documentation says otherwise. Exceptions of a user's own code pass through unchanged.
#pragma once

#include "ir/op/error.h"
