#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>

#include "fill.h"
#include "tpsp/kernels/cuda.h"

namespace tpsp {
namespace {

template <typename T>
void fill_as(const at::Tensor& weight, const WeightBlock& block) {
  kernels::cuda::fill(kernels::cuda::IntegerWeights<T>{.out = static_cast<T*>(weight.mutable_data_ptr()),
                                                       .stride = static_cast<std::size_t>(block.stride),
                                                       .rows = static_cast<std::size_t>(block.rows),
                                                       .columns = static_cast<std::size_t>(block.columns),
                                                       .generator = block.generator,
                                                       .first = block.first,
                                                       .row_stride = block.row_stride,
                                                       .offset = block.offset,
                                                       .scale = block.scale},
                      c10::cuda::getCurrentCUDAStream(weight.device().index()).stream());
}

}  // namespace

void fill_on_gpu(const at::Tensor& weight, const WeightBlock& block) {
  if (weight.scalar_type() == at::kBFloat16) return fill_as<kernels::Bf16>(weight, block);
  fill_as<float>(weight, block);
}

}  // namespace tpsp
