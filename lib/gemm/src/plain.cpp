#include "onednn_as_it_lies.h"
#include "packed_weight.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {
namespace {

class PlainWeight : public PackedWeight {
 public:
  explicit PlainWeight(const at::Tensor& weight) : weight_(weight), transposed_(weight.t()) {}

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    auto target = out;  // at::mm_out wants a handle that it could resize; the sizes fit
    at::mm_out(target, x, transposed_);
  }
  void multiply_backward(const at::Tensor& gradient, const at::Tensor& out) const override {
    if (onednn_multiply(gradient, weight_, out)) return;
    auto target = out;
    at::mm_out(target, gradient, weight_);
  }
  at::Tensor plain() const override { return weight_; }
  at::Device device() const override { return weight_.device(); }
  at::ScalarType dtype() const override { return weight_.scalar_type(); }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(weight_.nbytes()); }

 protected:
  const at::Tensor& transposed() const { return transposed_; }

 private:
  at::Tensor weight_;
  at::Tensor transposed_;  // a view
};

class OnednnPlainWeight final : public PlainWeight {
 public:
  using PlainWeight::PlainWeight;

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    if (!onednn_multiply(x, transposed(), out)) PlainWeight::multiply(x, out);
  }
};

}  // namespace

void multiply_weight_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& out, bool adds) {
  if (out.is_meta() || onednn_multiply(gradient.t(), x, out, adds)) return;
  auto target = out;
  if (adds) {
    target.addmm_(gradient.t(), x);
  } else {
    at::mm_out(target, gradient.t(), x);
  }
}

std::unique_ptr<const PackedWeight> pack_plain(const at::Tensor& weight) {
  return std::make_unique<const PlainWeight>(weight);
}

std::unique_ptr<const PackedWeight> pack_onednn_plain(const at::Tensor& weight) {
  return std::make_unique<const OnednnPlainWeight>(weight);
}

}  // namespace tpsp
