// Loads and stores that let a kernel be written once for fp32 and bfloat16, and 2^x. Included anew for every
// instruction set.
#if defined(TPSP_KERNELS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TPSP_KERNELS_VECTORS_INL_H_
#undef TPSP_KERNELS_VECTORS_INL_H_
#else
#define TPSP_KERNELS_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "tpsp/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace tpsp::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVector = hn::Vec<Floats>;

HWY_INLINE FloatVector load(const float* from) { return hn::LoadU(Floats(), from); }
HWY_INLINE void store(FloatVector v, float* to) { hn::StoreU(v, Floats(), to); }

HWY_INLINE FloatVector load(const Bf16* from) {
  const hn::Rebind<std::uint16_t, Floats> halves;
  const hn::RebindToUnsigned<Floats> words;
  const auto bits = hn::LoadU(halves, &from->bits);
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, bits)));
}

// The bfloat16 bits of each element, rounded to nearest even as c10::BFloat16 does; any NaN becomes the canonical one.
HWY_INLINE auto rounded_bits(FloatVector v) {
  const hn::RebindToUnsigned<Floats> words;
  const auto bits = hn::BitCast(words, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(words, 0x7FFFU))));
  return hn::IfThenElse(hn::RebindMask(words, hn::IsNaN(v)), hn::Set(words, 0x7FC0U), rounded);
}

HWY_INLINE void store(FloatVector v, Bf16* to) {
  const hn::Rebind<std::uint16_t, Floats> halves;
  hn::StoreU(hn::TruncateTo(halves, rounded_bits(v)), halves, &to->bits);
}

// What a stored value is read back as.
HWY_INLINE FloatVector as_stored(FloatVector v, const float*) { return v; }
HWY_INLINE FloatVector as_stored(FloatVector v, const Bf16*) {
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(rounded_bits(v)));
}

// 2^x for x up to 128, where it is infinity; 2^-126 below -126. The relative error is at most 2^-22: of the polynomial,
// the best of degree 5 with 2^0 = 1 for [-0.5, 0.5], 2^-23.3, and of fp32 arithmetic. Infinity, or NaN, for NaN: Min
// gives its second argument or NaN.
HWY_INLINE FloatVector exp2_of(FloatVector x) {
  const Floats floats;
  const auto clamped = hn::Max(hn::Min(x, hn::Set(floats, 128.0F)), hn::Set(floats, -126.0F));
  const auto power = hn::NearestInt(clamped);
  const auto f = hn::Sub(clamped, hn::ConvertTo(floats, power));
  auto p = hn::Set(floats, 0x1.5bba14p-10F);
  p = hn::MulAdd(p, f, hn::Set(floats, 0x1.3cea88p-7F));
  p = hn::MulAdd(p, f, hn::Set(floats, 0x1.c6b752p-5F));
  p = hn::MulAdd(p, f, hn::Set(floats, 0x1.ebf9bcp-3F));
  p = hn::MulAdd(p, f, hn::Set(floats, 0x1.62e42ap-1F));
  p = hn::MulAdd(p, f, hn::Set(floats, 1.0F));
  const hn::RebindToSigned<Floats> words;
  return hn::BitCast(floats, hn::Add(hn::BitCast(words, p), hn::ShiftLeft<23>(power)));
}
inline constexpr float log2_e = 0x1.715476p0F;

// The last few elements go through a buffer, so that there is one path for vectors of every width.
template <typename T>
HWY_INLINE FloatVector load_some(const T* from, std::size_t count) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy(from, from + count, buffer);
  return load(buffer);
}
template <typename T>
HWY_INLINE void store_some(FloatVector v, T* to, std::size_t count) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)];
  store(v, buffer);
  std::copy(buffer, buffer + count, to);
}

}  // namespace tpsp::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
