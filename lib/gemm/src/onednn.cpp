// oneDNN's matmul with the weight in the blocked layout that oneDNN chooses for it (format_tag::any).
#include "packed_weight.h"
#include "tpsp/core/error.h"
#include "tpsp/gemm/weight.h"
#ifdef TPSP_WITH_ONEDNN
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "onednn.h"
#endif

namespace tpsp {

#ifdef TPSP_WITH_ONEDNN
namespace onednn {
namespace {

// `[rows, k]` times `weight`, `[k, n]`. Its kernels take x and out dense alone: with another row stride oneDNN 3.2
// falls back to plain loops.
Matmul::primitive_desc describe(std::int64_t rows, const Layout& weight, std::int64_t n, std::int64_t k, Type type) {
  return {engine(), dense_rows(rows, k, type), weight, dense_rows(rows, n, type)};
}

// Rows of x that the layout is chosen for; it serves any other number. More are multiplied in equal parts of about as
// many, so that a part of x and out stays in the cache.
constexpr std::int64_t expected_rows = 512;

std::int64_t rows_at_a_time(std::int64_t rows) {
  const auto parts = std::max<std::int64_t>(1, (rows + expected_rows / 2) / expected_rows);
  return (rows + parts - 1) / parts;
}

Layout chosen_layout(std::int64_t n, std::int64_t k, Type type) {
  const Layout any({k, n}, type, dnnl::memory::format_tag::any);
  return describe(expected_rows, any, n, k, type).weights_desc();
}

/// `[n, k]` of LibTorch is `[k, n]` here.
class OnednnWeight final : public PackedWeight {
 public:
  explicit OnednnWeight(const at::Tensor& weight)
      : dtype_(weight.scalar_type()),
        n_(weight.size(0)),
        k_(weight.size(1)),
        layout_(chosen_layout(n_, k_, type_of(dtype_))),
        packed_(packed_storage(static_cast<std::int64_t>(layout_.get_size()), weight.device())) {
    if (weight.is_meta()) return;
    at::internal::lazy_init_num_threads();
    with_bad_alloc([&] { pack(weight); });
  }

  bool takes_strides() const override { return false; }
  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    at::internal::lazy_init_num_threads();  // a thread's first GEMM sets how many threads it uses
    const auto step = rows_at_a_time(x.size(0));
    for (std::int64_t first = 0; first < x.size(0); first += step) {
      const auto rows = std::min(step, x.size(0) - first);
      with_bad_alloc([&] { multiply_dense(x.narrow(0, first, rows), out.narrow(0, first, rows)); });
    }
  }
  at::Device device() const override { return packed_.device(); }
  at::ScalarType dtype() const override { return dtype_; }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(packed_.nbytes()); }

 private:
  void pack(const at::Tensor& weight) const {
    const Layout plain({k_, n_}, type_of(dtype_), dnnl::memory::dims{1, row_stride(weight)});
    dnnl::memory from(plain, engine(), const_cast<void*>(weight.const_data_ptr()));
    dnnl::memory to(layout_, engine(), packed_.data_ptr());
    dnnl::stream stream(engine());
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
  }

  void multiply_dense(const at::Tensor& x, const at::Tensor& out) const {
    const auto type = type_of(dtype_);
    const dnnl::memory from(dense_rows(x.size(0), k_, type), engine(), const_cast<void*>(x.const_data_ptr()));
    const dnnl::memory weight(layout_, engine(), const_cast<void*>(packed_.const_data_ptr()));
    const dnnl::memory to(dense_rows(x.size(0), n_, type), engine(), out.mutable_data_ptr());
    dnnl::stream stream(engine());
    matmul_for(x.size(0)).execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_DST, to}});
    stream.wait();
  }

  // A forward has a few numbers of rows, and makes its matmuls once.
  const Matmul& matmul_for(std::int64_t rows) const {
    auto found = matmuls_.find(rows);
    if (found == matmuls_.end()) {
      found = matmuls_.emplace(rows, Matmul(describe(rows, layout_, n_, k_, type_of(dtype_)))).first;
    }
    return found->second;
  }

  at::ScalarType dtype_;
  std::int64_t n_;
  std::int64_t k_;
  Layout layout_;
  at::Tensor packed_;
  mutable std::map<std::int64_t, Matmul> matmuls_;
};

// For few rows as for many.
bool has_kernel(at::ScalarType dtype) {
  if (!is_version_of_header()) return false;
  constexpr std::int64_t side = 256;
  const auto type = type_of(dtype);
  try {
    const auto layout = chosen_layout(side, side, type);
    return is_a_kernel(describe(expected_rows, layout, side, side, type)) &&
           is_a_kernel(describe(1, layout, side, side, type));
  } catch (const dnnl::error&) {
    return false;
  }
}

}  // namespace
}  // namespace onednn

bool onednn_packs(at::ScalarType dtype) {
  static const bool fp32 = onednn::has_kernel(at::kFloat);
  static const bool bf16 = onednn::has_kernel(at::kBFloat16);
  return dtype == at::kFloat ? fp32 : dtype == at::kBFloat16 && bf16;
}
std::unique_ptr<const PackedWeight> pack_onednn(const at::Tensor& weight) {
  return std::make_unique<const onednn::OnednnWeight>(weight);
}
std::string onednn_version() {
  const auto& version = *dnnl::version();
  return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}
#else
bool onednn_packs(at::ScalarType) { return false; }
std::unique_ptr<const PackedWeight> pack_onednn(const at::Tensor&) {
  throw bad_input({.where = "GEMM", .what = "this build has no oneDNN"});
}
std::string onednn_version() { return {}; }
#endif

}  // namespace tpsp
