// The weight of a linear layer, packed for a GEMM kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

enum class GemmKernel {
  plain,         ///< at::mm on the weight as it is
  onednn_plain,  ///< oneDNN's matmul on the weight as it is, by the implementation that it puts first
  onednn_jit,    ///< likewise, by its GEMM with generated code (gemm:jit)
  amx,           ///< LibTorch's AMX micro-kernels over the weight in panels of columns
  onednn,        ///< oneDNN's matmul over the weight in the layout that oneDNN chooses
  mkl,           ///< MKL's GEMM with a packed matrix
};
/// "plain", "onednn-plain", "onednn-jit", "amx", "onednn", "mkl".
std::string_view to_string(GemmKernel kernel);
/// All of them.
std::vector<GemmKernel> all_kernels();

/// The GEMMs of a linear layer: Y = X W^T, and in the backward dX = dY W and dW = dY^T X.
enum class LinearGemm { forward, input_gradient, weight_gradient };
/// "forward", "input-gradient", "weight-gradient".
std::string_view to_string(LinearGemm gemm);
/// All three.
std::vector<LinearGemm> linear_gemms();

/// Which kernel each of a weight's GEMMs has; those of the backward are for a weight that is kept as it is.
struct GemmKernels {
  GemmKernel forward = GemmKernel::plain;
  GemmKernel input_gradient = GemmKernel::plain;
  GemmKernel weight_gradient = GemmKernel::plain;

  GemmKernels() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): for a forward alone one kernel is all there is to say
  GemmKernels(GemmKernel of_forward) : forward(of_forward) {}

  GemmKernel& of(LinearGemm gemm);
};

/// The kernels that this build and machine have for a dtype and device, in the order of preference: onednn on the CPU
/// and the meta device, which stands for it, for the dtypes that it has more than plain loops for; plain, which is
/// there for all; on the CPU also amx for bf16 where the CPU multiplies tiles, and mkl for fp32 where LibTorch comes
/// with MKL.
std::vector<GemmKernel> packed_kernels(at::ScalarType dtype, at::Device device);

/// Likewise those that keep the weight as it is, so that an optimizer may write it and a backward read it the other
/// way: onednn_plain and onednn_jit where oneDNN has them for the dtype; plain.
std::vector<GemmKernel> plain_kernels(at::ScalarType dtype, at::Device device);

/// The version of the library behind the onednn kernel, "3.2.0"; empty in a build without it.
std::string onednn_version();

/// Multiplications and additions of `[m, k]` times a weight `[n, k]`.
constexpr double product_flops(std::int64_t m, std::int64_t n, std::int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

class PackedWeight;

/// A weight `[rows, columns]` (output features by input features) in one kernel's form. An object belongs to one
/// thread at a time; the GEMM itself runs on LibTorch's threads.
class GemmWeight {
 public:
  /// Packs `weight`, fp32 or bf16 with contiguous rows, for the forward's kernel. The plain kernels keep the tensor
  /// itself; the others keep their packed form only, so that the tensor is freed unless referenced elsewhere. A meta
  /// weight packs into as many meta bytes. Throws internal_error for another shape or dtype, an empty weight, a kernel
  /// that neither packed_kernels nor plain_kernels names, and one of the backward that plain_kernels does not.
  GemmWeight(at::Tensor weight, GemmKernels kernels);
  GemmWeight(GemmWeight&&) noexcept;
  GemmWeight& operator=(GemmWeight&&) noexcept;
  ~GemmWeight();

  /// out[m, rows] = x[m, columns] W^T, for any m, summed in fp32 and rounded once. Both have the weight's dtype and
  /// device and contiguous rows; the row stride is free, so that each may be some columns of a wider
  /// matrix. They do not overlap. Writes into `out`. Takes no memory for matrices, but that onednn copies up to 256
  /// rows at a time of what is wider than its rows, and that onednn_jit sums up to 512 rows of a bf16 result in fp32;
  /// onednn_plain and onednn_jit also have the scratch that oneDNN asks for. On meta it takes as much, and computes
  /// nothing. Throws internal_error for what does not fit.
  void multiply(const at::Tensor& x, const at::Tensor& out) const;

  /// The backward of `multiply` for x: out[m, columns] = gradient[m, rows] W, as above. Only for a weight that is kept
  /// as it is; throws internal_error for others.
  void multiply_input_gradient(const at::Tensor& gradient, const at::Tensor& out) const;

  /// The backward of `multiply` for W: out[rows, columns] = gradient[m, rows]^T x[m, columns], or added to what `out`
  /// holds where `adds`, as above.
  void multiply_weight_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& out,
                                bool adds) const;

  const GemmKernels& kernels() const { return kernels_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  /// What the weight takes in this form.
  std::int64_t bytes() const;
  /// The weight itself, `[rows, columns]`, where it is kept as it is: who writes there changes it. Undefined
  /// for others.
  at::Tensor plain() const;

 private:
  GemmKernels kernels_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::unique_ptr<const PackedWeight> packed_;
};

}  // namespace tpsp
