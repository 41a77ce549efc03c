/* The entry of the CPU code generator, a plugin that holds LLVM. Plain C: IR text and target in, a flat image out;
 * no graph, exception or allocator crosses. */
#ifndef CALQUE_CODEGEN_CPU_PLUGIN_API_H
#define CALQUE_CODEGEN_CPU_PLUGIN_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint32_t abi_version;   /* CALQUE_KERNEL_ABI_VERSION of the caller */
  const char* build_id;   /* of the caller; the plugin refuses another */
  const char* graph_text; /* IR text of one graph; each `fusion` of it, in order, becomes one kernel */
  size_t graph_bytes;
  const char* isa;        /* "avx2" or "avx512": instruction set to generate for */
  int want_text;          /* nonzero: also give LLVM IR and assembly */
} calque_codegen_request;

typedef struct {
  uint8_t* image;  /* see calque/kernel_abi.h */
  size_t image_bytes;
  char* llvm_ir;   /* only when asked for, else null */
  char* assembly;
  char* error;     /* null on success, else one sentence */
} calque_codegen_result;

/* Returns 0 on success. The result is released by calque_codegen_release in either case. */
int calque_codegen_compile(const calque_codegen_request* request, calque_codegen_result* result);
void calque_codegen_release(calque_codegen_result* result);
/* "LLVM 19.1.7": part of the cache key. */
const char* calque_codegen_version(void);

#ifdef __cplusplus
}
#endif
#endif
