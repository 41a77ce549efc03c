/* The entry of the symbolizer, a plugin that holds libdw. Plain C. */
#ifndef CALQUE_COMPILER_SYMBOLIZER_API_H
#define CALQUE_COMPILER_SYMBOLIZER_API_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  CALQUE_SYMBOL_UNKNOWN = 0,
  CALQUE_SYMBOL_LINE = 1,    /* text is "folder/file.cpp:14" */
  CALQUE_SYMBOL_FUNCTION = 2 /* text is the function's linker name: there is no line table for it */
};

/* Finds the source line of the code at `address`, which is inside an instruction of this process; of inlined
 * functions the innermost one outside the headers of Calque and of the standard library. Writes at most
 * `capacity` bytes with the final zero. Calls must not overlap. */
int calque_symbolizer_find(const void* address, char* text, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
