#include <ATen/Parallel.h>

#include <limits>

#include "packed_weight.h"
#include "tpsp/core/error.h"
#ifdef TPSP_WITH_MKL_PACK
#include "mkl_pack.h"
#endif

namespace tpsp {

#ifdef TPSP_WITH_MKL_PACK
namespace {

int mkl_size(std::int64_t size) {
  if (size <= std::numeric_limits<int>::max()) return static_cast<int>(size);
  throw bad_input(
      {.where = "GEMM", .what = "a matrix with a side of " + std::to_string(size), .why = "MKL counts in 32 bits"});
}

// MKL chooses its blocking by the number of rows given here. A matrix packed for many rows also serves few.
constexpr int expected_rows = 512;

class MklWeight final : public PackedWeight {
 public:
  explicit MklWeight(const at::Tensor& weight) : n_(mkl_size(weight.size(0))), k_(mkl_size(weight.size(1))) {
    const auto bytes = cblas_sgemm_pack_get_size(mkl_right_matrix, expected_rows, n_, k_);
    packed_ = packed_storage(static_cast<std::int64_t>(bytes), weight.device());
    if (weight.is_meta()) return;
    at::internal::lazy_init_num_threads();
    cblas_sgemm_pack(mkl_row_major, mkl_right_matrix, mkl_transposed, expected_rows, n_, k_, 1.0F,
                     weight.const_data_ptr<float>(), mkl_size(row_stride(weight)),
                     reinterpret_cast<float*>(packed_.data_ptr()));
  }

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    at::internal::lazy_init_num_threads();  // a thread's first GEMM sets how many threads it uses
    cblas_sgemm_compute(mkl_row_major, mkl_as_it_is, mkl_packed, mkl_size(x.size(0)), n_, k_, x.const_data_ptr<float>(),
                        mkl_size(row_stride(x)), reinterpret_cast<const float*>(packed_.const_data_ptr()), k_, 0.0F,
                        out.mutable_data_ptr<float>(), mkl_size(row_stride(out)));
  }
  at::Device device() const override { return packed_.device(); }
  at::ScalarType dtype() const override { return at::kFloat; }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(packed_.nbytes()); }

 private:
  int n_;
  int k_;
  at::Tensor packed_;
};

}  // namespace

bool mkl_packs(at::ScalarType dtype) { return dtype == at::kFloat; }
std::unique_ptr<const PackedWeight> pack_mkl(const at::Tensor& weight) {
  return std::make_unique<const MklWeight>(weight);
}
#else
bool mkl_packs(at::ScalarType) { return false; }
std::unique_ptr<const PackedWeight> pack_mkl(const at::Tensor&) {
  throw bad_input({.where = "GEMM", .what = "this build of LibTorch has no MKL"});
}
#endif

}  // namespace tpsp
