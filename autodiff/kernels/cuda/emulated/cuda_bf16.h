// Numbers of 8 bits after the leading one: see cuda_runtime.h of this folder.
#pragma once

#include <bit>

struct __nv_bfloat16 {
  unsigned short bits;
};
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  const unsigned u = std::bit_cast<unsigned>(x);
  return {static_cast<unsigned short>((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
inline float __bfloat162float(__nv_bfloat16 x) {
  return std::bit_cast<float>(static_cast<unsigned>(x.bits) << 16);
}
