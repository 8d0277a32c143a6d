// LibTorch's name for each number format.
#pragma once

#include <c10/core/ScalarType.h>

#include "tpsp/core/dtype.h"

namespace tpsp {

constexpr c10::ScalarType scalar_type(Dtype dtype) {
  return dtype == Dtype::bf16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Float;
}
/// `type` is one of these.
constexpr Dtype dtype_of(c10::ScalarType type) { return type == c10::ScalarType::BFloat16 ? Dtype::bf16 : Dtype::fp32; }

}  // namespace tpsp
