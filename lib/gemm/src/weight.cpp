#include "tpsp/gemm/weight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "as_it_lies.h"
#include "onednn_as_it_lies.h"
#include "packed_weight.h"
#include "tpsp/core/error.h"

namespace tpsp {

std::string_view to_string(GemmKernel kernel) {
  switch (kernel) {
    case GemmKernel::plain: return "plain";
    case GemmKernel::onednn_plain: return "onednn-plain";
    case GemmKernel::onednn_jit: return "onednn-jit";
    case GemmKernel::amx: return "amx";
    case GemmKernel::onednn: return "onednn";
    case GemmKernel::mkl: return "mkl";
  }
  return "unknown kernel";
}

std::vector<GemmKernel> all_kernels() {
  return {GemmKernel::plain, GemmKernel::onednn_plain, GemmKernel::onednn_jit,
          GemmKernel::amx,   GemmKernel::onednn,       GemmKernel::mkl};
}

std::string_view to_string(LinearGemm gemm) {
  switch (gemm) {
    case LinearGemm::forward: return "forward";
    case LinearGemm::input_gradient: return "input-gradient";
    case LinearGemm::weight_gradient: return "weight-gradient";
  }
  return "unknown GEMM";
}

std::vector<LinearGemm> linear_gemms() {
  return {LinearGemm::forward, LinearGemm::input_gradient, LinearGemm::weight_gradient};
}

GemmKernel& GemmKernels::of(LinearGemm gemm) {
  switch (gemm) {
    case LinearGemm::forward: break;
    case LinearGemm::input_gradient: return input_gradient;
    case LinearGemm::weight_gradient: return weight_gradient;
  }
  return forward;
}

std::vector<GemmKernel> packed_kernels(at::ScalarType dtype, at::Device device) {
  if (!device.is_cpu() && !device.is_meta()) return {GemmKernel::plain};
  std::vector<GemmKernel> kernels;
  if (onednn_packs(dtype)) kernels.push_back(GemmKernel::onednn);
  kernels.push_back(GemmKernel::plain);
  if (amx_packs(dtype)) kernels.push_back(GemmKernel::amx);
  if (mkl_packs(dtype)) kernels.push_back(GemmKernel::mkl);
  return kernels;
}

std::vector<GemmKernel> plain_kernels(at::ScalarType dtype, at::Device device) {
  if (!device.is_cpu() && !device.is_meta()) return {GemmKernel::plain};
  std::vector<GemmKernel> kernels;
  if (onednn_has(OnednnGemm::first, dtype)) kernels.push_back(GemmKernel::onednn_plain);
  if (onednn_has(OnednnGemm::jit, dtype)) kernels.push_back(GemmKernel::onednn_jit);
  kernels.push_back(GemmKernel::plain);
  return kernels;
}

namespace {

Error refusal(std::string what, std::string why) {
  return internal_error({.where = "GEMM", .what = std::move(what), .why = std::move(why)});
}

bool columns_side_by_side(const at::Tensor& matrix) {
  if (matrix.size(1) > 1 && matrix.stride(1) != 1) return false;
  return matrix.size(0) <= 1 || matrix.stride(0) >= matrix.size(1);
}

void require_matrix(const at::Tensor& matrix, std::string_view name) {
  if (matrix.dim() == 2 && columns_side_by_side(matrix)) return;
  throw refusal(
      fmt::format("{} is not a matrix with contiguous rows", name),
      fmt::format("sizes [{}], strides [{}]", fmt::join(matrix.sizes(), ", "), fmt::join(matrix.strides(), ", ")));
}

void require_kernel(GemmKernel kernel, const std::vector<GemmKernel>& kernels, const at::Tensor& weight) {
  if (std::find(kernels.begin(), kernels.end(), kernel) != kernels.end()) return;
  throw refusal(fmt::format("no kernel '{}' for {} on {}", to_string(kernel), at::toString(weight.scalar_type()),
                            weight.device().str()),
                "this CPU, or this build of LibTorch, does not have it");
}

void require_weight(const at::Tensor& weight, const GemmKernels& wanted) {
  require_matrix(weight, "the weight");
  if (weight.numel() == 0) throw refusal("the weight is empty", {});
  const auto dtype = weight.scalar_type();
  if (dtype != at::kFloat && dtype != at::kBFloat16) {
    throw refusal(fmt::format("a weight of {}", at::toString(dtype)), "it is fp32 or bf16");
  }
  const auto plain = plain_kernels(dtype, weight.device());
  for (const auto kernel : {wanted.input_gradient, wanted.weight_gradient}) require_kernel(kernel, plain, weight);
  auto all = packed_kernels(dtype, weight.device());
  all.insert(all.end(), plain.begin(), plain.end());
  require_kernel(wanted.forward, all, weight);
}

std::unique_ptr<const PackedWeight> pack(const at::Tensor& weight, const GemmKernels& kernels) {
  require_weight(weight, kernels);
  switch (kernels.forward) {
    case GemmKernel::amx: return pack_amx(weight);
    case GemmKernel::onednn: return pack_onednn(weight);
    case GemmKernel::mkl: return pack_mkl(weight);
    case GemmKernel::plain:
    case GemmKernel::onednn_plain:
    case GemmKernel::onednn_jit: break;
  }
  return keep_plain(weight, kernels.forward);
}

void require_operand(const at::Tensor& matrix, std::string_view name, std::int64_t columns,
                     const PackedWeight& weight) {
  require_matrix(matrix, name);
  if (matrix.size(1) != columns) {
    throw refusal(fmt::format("{} has {} columns", name, matrix.size(1)), fmt::format("the weight wants {}", columns));
  }
  if (matrix.scalar_type() != weight.dtype() || matrix.device() != weight.device()) {
    throw refusal(fmt::format("{} is {} on {}", name, at::toString(matrix.scalar_type()), matrix.device().str()),
                  fmt::format("the weight is {} on {}", at::toString(weight.dtype()), weight.device().str()));
  }
}

bool is_dense(const at::Tensor& matrix) { return matrix.size(0) <= 1 || matrix.stride(0) == matrix.size(1); }

// Through dense copies of what is strided, some rows at a time. Takes the same memory on meta.
void multiply_by_copies(const PackedWeight& weight, const at::Tensor& x, const at::Tensor& out) {
  constexpr std::int64_t copied_rows = 256;  // enough for a kernel's full rate
  const auto m = x.size(0);
  const auto block_of = [&](const at::Tensor& matrix) {
    if (is_dense(matrix)) return at::Tensor();
    return at::empty({std::min(m, copied_rows), matrix.size(1)}, matrix.options());
  };
  const auto x_block = block_of(x);
  const auto out_block = block_of(out);
  if (out.is_meta()) return;
  for (std::int64_t first = 0; first < m; first += copied_rows) {
    const auto rows = std::min(copied_rows, m - first);
    const auto x_rows = x.narrow(0, first, rows);
    const auto out_rows = out.narrow(0, first, rows);
    const auto dense_x = x_block.defined() ? x_block.narrow(0, 0, rows).copy_(x_rows) : x_rows;
    const auto dense_out = out_block.defined() ? out_block.narrow(0, 0, rows) : out_rows;
    weight.multiply(dense_x, dense_out);
    if (out_block.defined()) out_rows.copy_(dense_out);
  }
}

}  // namespace

GemmWeight::GemmWeight(at::Tensor weight, GemmKernels kernels) : kernels_(kernels), packed_(pack(weight, kernels)) {
  rows_ = weight.size(0);
  columns_ = weight.size(1);
}
GemmWeight::GemmWeight(GemmWeight&&) noexcept = default;
GemmWeight& GemmWeight::operator=(GemmWeight&&) noexcept = default;
GemmWeight::~GemmWeight() = default;

void GemmWeight::multiply(const at::Tensor& x, const at::Tensor& out) const {
  require_operand(x, "the input", columns_, *packed_);
  require_operand(out, "the output", rows_, *packed_);
  if (x.size(0) != out.size(0)) {
    throw refusal(fmt::format("the output has {} rows", out.size(0)), fmt::format("the input has {}", x.size(0)));
  }
  if (out.size(0) == 0) return;
  if (!packed_->takes_strides() && !(is_dense(x) && is_dense(out))) return multiply_by_copies(*packed_, x, out);
  if (!out.is_meta() || plain().defined()) packed_->multiply(x, out);
}

void GemmWeight::multiply_input_gradient(const at::Tensor& gradient, const at::Tensor& out) const {
  const auto weight = plain();
  if (!weight.defined()) throw refusal("no backward of a packed weight", "it is packed for the forward alone");
  require_operand(gradient, "the gradient", rows_, *packed_);
  require_operand(out, "the output", columns_, *packed_);
  if (gradient.size(0) != out.size(0)) {
    throw refusal(fmt::format("the output has {} rows", out.size(0)),
                  fmt::format("the gradient has {}", gradient.size(0)));
  }
  if (out.size(0) > 0) multiply_as_it_lies(kernels_.input_gradient, gradient, weight, out, /*adds=*/false);
}

void GemmWeight::multiply_weight_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& out,
                                          bool adds) const {
  require_operand(gradient, "the gradient", rows_, *packed_);
  require_operand(x, "the input", columns_, *packed_);
  require_operand(out, "the weight's gradient", columns_, *packed_);
  if (gradient.size(0) != x.size(0) || out.size(0) != rows_) {
    throw refusal(
        fmt::format("gradients of {} rows into a weight's gradient of {} rows", gradient.size(0), out.size(0)),
        fmt::format("the input has {} rows, the weight {}", x.size(0), rows_));
  }
  if (x.size(0) > 0) {
    multiply_as_it_lies(kernels_.weight_gradient, gradient.t(), x, out, adds);
  } else if (!adds) {
    out.zero_();
  }
}

std::int64_t GemmWeight::bytes() const { return packed_->bytes(); }

at::Tensor GemmWeight::plain() const { return packed_->plain(); }

}  // namespace tpsp
