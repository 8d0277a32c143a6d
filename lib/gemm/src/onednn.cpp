// The product from oneDNN's micro-kernels, which LibTorch exports: they multiply one block of tiles (AMX) and leave the
// order of the blocks, and what becomes of the fp32 sums, to the caller. oneDNN's own matrix product is not exported,
// and LibTorch's operators around it return new memory.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <bit>

#include "packed_weight.h"

// What rounds and stores is only reached on CPUs with AMX, and those have these.
#if defined(__x86_64__)
#define TPSP_WIDE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#else
#define TPSP_WIDE
#endif

namespace tpsp {
namespace {

namespace cpublas = at::native::cpublas;

// A panel is two tiles wide; two by two tiles of sums are what the tile registers hold.
constexpr std::int64_t panel_columns = 32;
constexpr std::int64_t tile_pair_rows = 32;
// Rows of x are taken in blocks that stay in the second-level cache (2 MiB on all CPUs with AMX) while panels of the
// weight stream by. More than half of it for the block is slower.
constexpr std::int64_t block_bytes = 800 * 1024;
constexpr std::int64_t most_block_rows = 256;

std::int64_t rounded_up(std::int64_t number, std::int64_t step) { return (number + step - 1) / step * step; }

std::int64_t block_rows(std::int64_t k) {
  const auto fitting = block_bytes / (k * std::int64_t{sizeof(at::BFloat16)}) / tile_pair_rows * tile_pair_rows;
  return std::clamp(fitting, tile_pair_rows, most_block_rows);
}

using Sums = std::array<float, most_block_rows * panel_columns>;

struct Strided {
  at::BFloat16* data;
  std::int64_t row_stride;
};

// Rounds a number to bf16, to the nearest and ties to even; not-a-numbers stay so.
TPSP_WIDE inline std::uint16_t rounded_bits(float number) {
  const auto bits = std::bit_cast<std::uint32_t>(number);
  const auto rounded = bits + 0x7fffU + ((bits >> 16U) & 1U);
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return static_cast<std::uint16_t>((is_nan ? 0x7fc00000U : rounded) >> 16U);
}

TPSP_WIDE void store_rounded(const Sums& sums, const Strided& out, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* const from = sums.data() + r * panel_columns;
    auto* const to = reinterpret_cast<std::uint16_t*>(out.data + r * out.row_stride);
    for (std::int64_t c = 0; c < columns; ++c) to[c] = rounded_bits(from[c]);
  }
}

// Tiles take input features in pairs. An odd number leaves one, which is added to the sums by itself.
void add_last_feature(Sums& sums, const at::BFloat16* x, std::int64_t x_stride, const at::BFloat16* weights,
                      std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto factor = static_cast<float>(x[r * x_stride]);
    float* const row = sums.data() + r * panel_columns;
    for (std::int64_t c = 0; c < panel_columns; ++c) row[c] += factor * static_cast<float>(weights[c]);
  }
}

// Panels one after the other, each [k / 2, panel_columns, 2] for the tiles and then, where k is odd, the last feature's
// panel_columns weights. The last panel is filled up with zeros.
class OnednnWeight final : public PackedWeight {
 public:
  explicit OnednnWeight(const at::Tensor& weight)
      : n_(weight.size(0)), k_(weight.size(1)), panels_(rounded_up(n_, panel_columns) / panel_columns) {
    packed_ = packed_storage(panels_ * panel_numbers() * std::int64_t{sizeof(at::BFloat16)}, weight.device());
    if (weight.is_meta()) return;
    for (std::int64_t p = 0; p < panels_; ++p) pack_panel(weight, p);
  }

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    at::parallel_for(0, panels_, 1, [&](std::int64_t first, std::int64_t last) {
      const auto m = x.size(0);
      const auto step = block_rows(k_);
      for (std::int64_t row = 0; row < m; row += step) {
        multiply_block(x, out, row, std::min(step, m - row), first, last);
      }
      cpublas::brgemm_release();  // the tile registers, which slow down task switches
    });
  }
  at::Device device() const override { return packed_.device(); }
  at::ScalarType dtype() const override { return at::kBFloat16; }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(packed_.nbytes()); }

 private:
  std::int64_t paired_features() const { return k_ / 2 * 2; }
  std::int64_t panel_numbers() const { return k_ * panel_columns; }
  std::int64_t columns_of(std::int64_t panel) const { return std::min(panel_columns, n_ - panel * panel_columns); }

  void pack_panel(const at::Tensor& weight, std::int64_t panel) {
    const auto columns = columns_of(panel);
    const auto transposed = at::zeros({k_, panel_columns}, weight.options());
    transposed.narrow(1, 0, columns).copy_(weight.narrow(0, panel * panel_columns, columns).t());
    const auto* const from = transposed.const_data_ptr<at::BFloat16>();
    auto* const to = reinterpret_cast<at::BFloat16*>(packed_.data_ptr()) + panel * panel_numbers();
    const auto paired = paired_features();
    if (paired > 0) {
      cpublas::pack(paired, panel_columns, panel_columns, panel_columns, at::kBFloat16, at::kBFloat16, from, to);
    }
    std::copy(from + paired * panel_columns, from + k_ * panel_columns, to + paired * panel_columns);
  }

  void multiply_block(const at::Tensor& x, const at::Tensor& out, std::int64_t row, std::int64_t rows,
                      std::int64_t first_panel, std::int64_t last_panel) const {
    alignas(64) Sums sums;
    const auto x_stride = row_stride(x);
    const auto* const from = x.const_data_ptr<at::BFloat16>() + row * x_stride;
    const Strided to{out.mutable_data_ptr<at::BFloat16>() + row * row_stride(out), row_stride(out)};
    const auto* const weights = reinterpret_cast<const at::BFloat16*>(packed_.const_data_ptr());
    const auto paired = paired_features();
    for (auto p = first_panel; p < last_panel; ++p) {
      const auto* const panel = weights + p * panel_numbers();
      if (paired > 0) {
        cpublas::brgemm(rows, panel_columns, paired, x_stride, panel_columns, panel_columns, /*add_C=*/false, from,
                        panel, sums.data());
      } else {
        sums.fill(0);
      }
      if (paired < k_) add_last_feature(sums, from + paired, x_stride, panel + paired * panel_columns, rows);
      store_rounded(sums, {to.data + p * panel_columns, to.row_stride}, rows, columns_of(p));
    }
  }

  std::int64_t n_;
  std::int64_t k_;
  std::int64_t panels_;
  at::Tensor packed_;
};

}  // namespace

bool onednn_packs(at::ScalarType dtype) { return dtype == at::kBFloat16 && cpublas::could_pack(dtype); }
std::unique_ptr<const PackedWeight> pack_onednn(const at::Tensor& weight) {
  return std::make_unique<const OnednnWeight>(weight);
}

}  // namespace tpsp
