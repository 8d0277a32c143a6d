#include "as_it_lies.h"

#include <fmt/format.h>

#include "onednn_as_it_lies.h"
#include "packed_weight.h"
#include "tpsp/core/error.h"

namespace tpsp {
namespace {

class PlainWeight final : public PackedWeight {
 public:
  PlainWeight(const at::Tensor& weight, GemmKernel kernel)
      : weight_(weight), transposed_(weight.t()), kernel_(kernel) {}

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    multiply_as_it_lies(kernel_, x, transposed_, out, /*adds=*/false);
  }
  at::Tensor plain() const override { return weight_; }
  at::Device device() const override { return weight_.device(); }
  at::ScalarType dtype() const override { return weight_.scalar_type(); }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(weight_.nbytes()); }

 private:
  at::Tensor weight_;
  at::Tensor transposed_;  // a view
  GemmKernel kernel_;
};

bool by_onednn(GemmKernel kernel, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds) {
  switch (kernel) {
    case GemmKernel::plain: return false;
    case GemmKernel::onednn_plain: return onednn_multiply(OnednnGemm::first, a, b, out, adds);
    case GemmKernel::onednn_jit: return onednn_multiply(OnednnGemm::jit, a, b, out, adds);
    default: break;
  }
  throw internal_error({.where = "GEMM", .what = fmt::format("'{}' packs its weight", to_string(kernel))});
}

}  // namespace

void multiply_as_it_lies(GemmKernel kernel, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out,
                         bool adds) {
  if (by_onednn(kernel, a, b, out, adds) || out.is_meta()) return;
  auto target = out;  // at::mm_out wants a handle that it could resize; the sizes fit
  if (adds) {
    target.addmm_(a, b);
  } else {
    at::mm_out(target, a, b);
  }
}

std::unique_ptr<const PackedWeight> keep_plain(const at::Tensor& weight, GemmKernel kernel) {
  return std::make_unique<const PlainWeight>(weight, kernel);
}

}  // namespace tpsp
