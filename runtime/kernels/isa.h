// The instruction-set levels that CPU kernels are compiled for, and the one this process uses.
#pragma once

namespace calque::kernels {

// Every *.isa.cpp is compiled once for each level: x86-64, x86-64-v3 (AVX2, FMA) and x86-64-v4 (AVX-512
// F/BW/CD/DQ/VL).
enum class IsaLevel { baseline, avx2, avx512 };

inline constexpr int kIsaLevelCount = 3;

// The level of this process: the best that the processor and the operating system support, or the one that
// the environment variable CALQUE_ISA names (baseline, avx2, avx512). Chosen at the first call; a name that
// is unknown or asks for more than there is costs one warning on stderr and has no other effect.
IsaLevel isa_level();

// Whether code of this level runs here, whatever CALQUE_ISA says.
bool is_supported(IsaLevel level);

// "baseline", "avx2" or "avx512".
const char* name(IsaLevel level);

}  // namespace calque::kernels
