// Large products that share their right operand: each block of k is packed once, by the whole team.
//
// The gradients of a cell's weights, X^T dG and H^T dG, are made behind the loop from all steps: c fits in no cache, and each part of
// an operand is needed in many places. So the rows of all left operands are packed into memory that the team shares, a block of k
// ahead, and a panel of b is packed once for all of them. Elements are the chains of gemm.h, kept in c from block to block.
#pragma once

#include "runtime/kernels/gemm.h"

namespace calque::kernels {

// Some rows of the stack: c = a @ b, with a: [m, k].
template <class T>
struct StackedRows {
  int64_t m = 0;
  MatrixView<T> a;
  T* c = nullptr;  // c[i * c_row_stride + j]
  int64_t c_row_stride = 0;
};

// Products of several left operands and one b: [k, n]. Sizes may be 0. No c overlaps an operand or another c.
template <class T>
struct ProductStack {
  const StackedRows<T>* blocks = nullptr;
  int64_t block_count = 0;
  MatrixView<T> b;
  int64_t n = 0, k = 0;
};

// Whether products of so many rows in all are large enough for this way, and take no more memory than some megabytes.
bool is_worth_stacking(int64_t rows, int64_t n, int64_t k);

// Elements of the memory that the team needs; operands may be null.
template <class T>
int64_t stack_elements(const ProductStack<T>& stack, IsaLevel level = isa_level());

// Computes the stack together with the other members of the team; a barrier must follow before anybody reads it. All members give
// the same memory (best aligned to 64 bytes), which nobody else uses meanwhile.
template <class T>
void product_stack(const ProductStack<T>& stack, T* memory, Team& team, IsaLevel level = isa_level());

}  // namespace calque::kernels
