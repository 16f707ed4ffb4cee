// Which instruction sets are compiled; to be included before any header of Highway.
//
// Left out are variants that these kernels would gain nothing from (SSSE3, the later AVX-512 ones) and
// vectors whose length is unknown when compiling (SVE, RVV): tiles of matmul are arrays of vectors. Arm runs
// NEON. What is not needed either can be left out for a shorter build and a smaller program: CMake,
// EV3_SIMD_WITHOUT.
#pragma once

#include <hwy/detect_targets.h>

#ifndef EV3_SIMD_WITHOUT
#define EV3_SIMD_WITHOUT 0
#endif

#undef HWY_DISABLED_TARGETS
#if HWY_ARCH_X86
#ifdef HWY_AVX3_SPR
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | (EV3_SIMD_WITHOUT))
#else
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | (EV3_SIMD_WITHOUT))
#endif
#elif HWY_ARCH_ARM
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#elif HWY_ARCH_RVV
#define HWY_DISABLED_TARGETS HWY_RVV
#else
#define HWY_DISABLED_TARGETS 0
#endif
