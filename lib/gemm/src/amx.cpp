// A GEMM built on oneDNN's micro-kernels, which LibTorch exports: they multiply one block of tiles (AMX) and leave the
// block order and the conversion of the fp32 sums to the caller. oneDNN's own GEMM is not exported, and LibTorch's
// operators around it return new memory.
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "packed_weight.h"

// The code that rounds and stores runs only on CPUs with AMX, which have these extensions.
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
// The GEMM is blocked: block_rows of x by group_panels panels, their sums adding up over parts of the input
// features. A block's part of x (1 MiB) and its sums (512 KiB, on the stack) stay in the second-level cache, 2 MiB on
// all CPUs with AMX, while the weight streams by: once for each block_rows of x, since the ranks of a host compete for
// the memory that it comes from.
constexpr std::int64_t block_rows = 256;
constexpr std::int64_t group_panels = 16;
constexpr std::int64_t part_features = 2048;
// A tile is 32 features deep, and a cache line of x two tiles; parts that end within a tile take several times as long.
constexpr std::int64_t part_step = 64;

std::int64_t quotient_up(std::int64_t number, std::int64_t step) { return (number + step - 1) / step; }

// Of one panel and of a group of them: [block_rows, panel_columns] each.
using Sums = std::array<float, block_rows * panel_columns>;
using GroupSums = std::array<Sums, group_panels>;

// A matrix with contiguous rows.
template <typename Number>
struct StridedRows {
  Number* data;
  std::int64_t row_stride;

  StridedRows below(std::int64_t rows) const { return {data + rows * row_stride, row_stride}; }
};
using Rows = StridedRows<at::BFloat16>;
using ConstRows = StridedRows<const at::BFloat16>;

// A tile takes a cache line from each of 16 rows. Rows an even number of lines apart share few of the first-level
// cache's sets, at the worst one: the rows are copied to lie an odd number apart, which is up to a tenth faster for
// little more than one pass over them.
ConstRows spread(const ConstRows& x, std::int64_t rows, std::int64_t features) {
  constexpr std::int64_t line = 64 / sizeof(at::BFloat16);
  if (x.row_stride % line == 0 && x.row_stride / line % 2 == 1) return x;
  thread_local std::vector<at::BFloat16> copy;  // grows to the widest rows that this thread has copied
  const auto stride = (quotient_up(features, line) | 1) * line;
  copy.resize(std::max(copy.size(), static_cast<std::size_t>(rows * stride + line)));
  const auto address = reinterpret_cast<std::uintptr_t>(copy.data());
  auto* const begin = copy.data() + (64 - address % 64) % 64 / sizeof(at::BFloat16);
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(x.below(r).data, features, begin + r * stride);
  return {begin, stride};
}

// Rounds a number to bf16, to the nearest and ties to even; not-a-numbers stay so.
TPSP_WIDE inline std::uint16_t rounded_bits(float number) {
  const auto bits = std::bit_cast<std::uint32_t>(number);
  const auto rounded = bits + 0x7fffU + ((bits >> 16U) & 1U);
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return static_cast<std::uint16_t>((is_nan ? 0x7fc00000U : rounded) >> 16U);
}

TPSP_WIDE void store_rounded(const Sums& sums, const Rows& out, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* const from = sums.data() + r * panel_columns;
    auto* const to = reinterpret_cast<std::uint16_t*>(out.data + r * out.row_stride);
    for (std::int64_t c = 0; c < columns; ++c) to[c] = rounded_bits(from[c]);
  }
}

// Tiles take input features in pairs. An odd number leaves one, which is added to the sums by itself.
void add_last_feature(Sums& sums, const ConstRows& x, const at::BFloat16* weights, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto factor = static_cast<float>(*x.below(r).data);
    float* const row = sums.data() + r * panel_columns;
    for (std::int64_t c = 0; c < panel_columns; ++c) row[c] += factor * static_cast<float>(weights[c]);
  }
}

// Panels one after the other, each [k / 2, panel_columns, 2] for the tiles and then, where k is odd, the last feature's
// panel_columns weights. The last panel is filled up with zeros.
class AmxWeight final : public PackedWeight {
 public:
  explicit AmxWeight(const at::Tensor& weight)
      : n_(weight.size(0)), k_(weight.size(1)), panels_(quotient_up(n_, panel_columns)) {
    packed_ = packed_storage(panels_ * panel_numbers() * std::int64_t{sizeof(at::BFloat16)}, weight.device());
    if (weight.is_meta()) return;
    for (std::int64_t p = 0; p < panels_; ++p) pack_panel(weight, p);
  }

  void multiply(const at::Tensor& x, const at::Tensor& out) const override {
    const ConstRows from{x.const_data_ptr<at::BFloat16>(), row_stride(x)};
    const Rows to{out.mutable_data_ptr<at::BFloat16>(), row_stride(out)};
    const auto m = x.size(0);
    at::parallel_for(0, panels_, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = 0; row < m; row += block_rows) {
        const auto rows = std::min(block_rows, m - row);
        const auto block = spread(from.below(row), rows, k_);
        for (auto panel = first; panel < last; panel += group_panels) {
          multiply_block(block, to.below(row), rows, panel, std::min(group_panels, last - panel));
        }
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

  const at::BFloat16* panel(std::int64_t number) const {
    return reinterpret_cast<const at::BFloat16*>(packed_.const_data_ptr()) + number * panel_numbers();
  }

  void multiply_block(const ConstRows& x, const Rows& out, std::int64_t rows, std::int64_t first_panel,
                      std::int64_t panels) const {
    alignas(64) GroupSums sums;
    sum_pairs(sums, x, rows, first_panel, panels);
    const auto paired = paired_features();
    for (std::int64_t p = 0; p < panels; ++p) {
      auto& of_panel = sums[static_cast<std::size_t>(p)];
      const auto number = first_panel + p;
      if (paired < k_) {
        if (paired == 0) of_panel.fill(0);
        add_last_feature(of_panel, {x.data + paired, x.row_stride}, panel(number) + paired * panel_columns, rows);
      }
      store_rounded(of_panel, {out.data + number * panel_columns, out.row_stride}, rows, columns_of(number));
    }
  }

  // The sums over all features but an odd last one, part by part.
  void sum_pairs(GroupSums& sums, const ConstRows& x, std::int64_t rows, std::int64_t first_panel,
                 std::int64_t panels) const {
    const auto paired = paired_features();
    if (paired == 0) return;
    const auto parts = quotient_up(paired, part_features);
    const auto part = quotient_up(paired, parts * part_step) * part_step;
    for (std::int64_t feature = 0; feature < paired; feature += part) {
      for (std::int64_t p = 0; p < panels; ++p) {
        cpublas::brgemm(rows, panel_columns, std::min(part, paired - feature), x.row_stride, panel_columns,
                        panel_columns, /*add_C=*/feature > 0, x.data + feature,
                        panel(first_panel + p) + feature * panel_columns, sums[static_cast<std::size_t>(p)].data());
      }
    }
  }

  std::int64_t n_;
  std::int64_t k_;
  std::int64_t panels_;
  at::Tensor packed_;
};

}  // namespace

bool amx_packs(at::ScalarType dtype) { return dtype == at::kBFloat16 && cpublas::could_pack(dtype); }
std::unique_ptr<const PackedWeight> pack_amx(const at::Tensor& weight) {
  return std::make_unique<const AmxWeight>(weight);
}

}  // namespace tpsp
