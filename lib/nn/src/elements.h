// Tensors as the kernels take them.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tpsp/kernels/kernels.h"

namespace tpsp::ops {

/// Calls `work` with a value of the kernels' element type for the tensor's dtype.
template <typename Work>
void with_element(const at::Tensor& tensor, const Work& work) {
  if (tensor.scalar_type() == at::kBFloat16) return work(kernels::Bf16());
  work(float());
}

template <typename T>
T* data_of(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

/// `[seq, batch, features]` as rows of features.
inline at::Tensor rows_of(const at::Tensor& tensor) { return tensor.flatten(0, 1); }

template <typename T>
kernels::Rows<T> kernel_rows(const at::Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.stride(0))};
}

/// The partials of up to most_ranks ranks.
template <typename T>
class Terms {
 public:
  Terms(const std::vector<at::Tensor>& partials, std::int64_t first_element) : count_(partials.size()) {
    std::transform(partials.begin(), partials.end(), pointers_.begin(),
                   [&](const at::Tensor& partial) { return data_of<const T>(partial) + first_element; });
  }
  std::span<const T* const> get() const { return {pointers_.data(), count_}; }

 private:
  static constexpr std::size_t most_ranks = 64;
  std::array<const T*, most_ranks> pointers_{};
  std::size_t count_;
};

/// Rows for one thread at least: some hundred thousand elements.
inline std::int64_t grain(std::int64_t width) {
  return std::max<std::int64_t>(1, (1 << 17) / std::max<std::int64_t>(width, 1));
}

}  // namespace tpsp::ops
