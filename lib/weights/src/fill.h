// The block of a weight that a rank makes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tpsp {

/// Rows of a weight whose element i is offset + scale * k, with k of make_weight.
struct WeightBlock {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t stride;      ///< elements from row to row in memory: columns, and padding
  std::uint64_t generator;  ///< of the weight's bits
  std::int64_t first;       ///< index in the whole weight of the block's first element
  std::int64_t row_stride;  ///< of the whole weight
  float offset;
  float scale;
};

/// On `weight`'s device, fp32 or bf16, with the bits of the host's. Padding is left as it is.
void fill_on_gpu(const at::Tensor& weight, const WeightBlock& block);

}  // namespace tpsp
