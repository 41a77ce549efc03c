/* The kernel ABI: all that generated code and the runtime agree on. Plain C; codegen and runtime meet only here. */
#ifndef CALQUE_KERNEL_ABI_H
#define CALQUE_KERNEL_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CALQUE_KERNEL_ABI_VERSION 5u
#define CALQUE_PART_COLUMNS 16
#define CALQUE_MOST_ANY_COLUMNS 4096
#define CALQUE_IMAGE_MAGIC 0x31474D4951434C43ull /* "CLCQIMG1" in memory order does not matter: compared as a word */

/* A kernel computes the part [begin, end) of its domain:
 *   flat     elements, rows  rows, columns  columns,
 * and [other_begin, other_end) of
 *   rows     the columns, where the entry's `part_columns` is not 0: both are multiples of CALQUE_PART_COLUMNS, or the end
 *            is part_columns; where the entry's `any_columns` is 1, all of them, whose number it does not know otherwise,
 *   columns  the rows, which are summed: 0 and their number.
 * Other kernels do not look at the two. How many rows (of a domain of rows), columns (of columns) or elements (of flat)
 * there are is nothing that a kernel knows, unless it is 0 or 1.
 * buffers[i]      first element of operand i: the inputs of the fusion in order, then its results
 * row_strides[i]  bytes from one row of operand i to the next; 0 where all rows share it (or there is one element)
 * scratch         at least `scratch_bytes` of the image's entry, 64-byte aligned, private to the calling thread
 * Within a row the elements of an operand lie next to each other. bool is one byte, 0 or 1. */
typedef void (*calque_kernel)(void* const* buffers, const int64_t* row_strides, int64_t begin, int64_t end,
                              int64_t other_begin, int64_t other_end, void* scratch);

/* A flat image: header, entries, then position-independent code and constants. It is mapped read-only and executable
 * as it is: no relocations, no symbols, no writable data. All offsets are from the first byte of the header. */
typedef struct {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t kernel_count;
  uint64_t image_bytes; /* of the whole image */
  uint64_t code_offset; /* multiple of 64 */
} calque_image_header;

typedef struct {
  uint64_t code_offset;   /* of the kernel's first instruction */
  uint64_t scratch_bytes; /* that one call needs */
  uint64_t part_columns;  /* columns of a domain of rows that may be computed part by part: of operands and results,
                             each lies at the same column or at a fixed distance from it; else 0 */
  uint64_t any_columns;   /* 1: a domain of rows of any number of columns up to CALQUE_MOST_ANY_COLUMNS, for which that
                             number stands in part_columns; else 0 */
} calque_image_entry;

#ifdef __cplusplus
}
#endif
#endif
