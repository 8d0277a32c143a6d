// A weight in one kernel's packed form. GemmWeight has checked the arguments.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

#include "tpsp/gemm/weight.h"

namespace tpsp {

class PackedWeight {
 public:
  PackedWeight() = default;
  virtual ~PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;

  /// Whether the rows of x and out may lie further apart than they are long.
  virtual bool takes_strides() const { return true; }
  /// out = x W^T, of at least one row. Neither is meta, but where the weight is kept as it is.
  virtual void multiply(const at::Tensor& x, const at::Tensor& out) const = 0;
  /// The weight, where it is kept as it is.
  virtual at::Tensor plain() const { return {}; }
  virtual at::Device device() const = 0;
  virtual at::ScalarType dtype() const = 0;
  virtual std::int64_t bytes() const = 0;
};

/// Memory for a packed weight. LibTorch aligns it to 64 bytes, as both libraries want it.
inline at::Tensor packed_storage(std::int64_t bytes, at::Device device) {
  return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(device));
}

/// The distance from row to row. A single row has any; kernels want one that is not less than its length.
inline std::int64_t row_stride(const at::Tensor& matrix) {
  return matrix.size(0) == 1 ? matrix.size(1) : matrix.stride(0);
}

/// By a kernel of plain_kernels.
std::unique_ptr<const PackedWeight> keep_plain(const at::Tensor& weight, GemmKernel kernel);
std::unique_ptr<const PackedWeight> pack_amx(const at::Tensor& weight);
std::unique_ptr<const PackedWeight> pack_onednn(const at::Tensor& weight);
std::unique_ptr<const PackedWeight> pack_mkl(const at::Tensor& weight);

/// Whether this build and CPU can.
bool amx_packs(at::ScalarType dtype);
bool onednn_packs(at::ScalarType dtype);
bool mkl_packs(at::ScalarType dtype);

}  // namespace tpsp
