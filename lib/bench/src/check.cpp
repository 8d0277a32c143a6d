#include "tpsp/bench/check.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "largest.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/core/math.h"

namespace tpsp {
namespace {

std::string bytes_of(const at::Tensor& tensor) {
  const auto host = tensor.cpu().contiguous();
  return {static_cast<const char*>(host.const_data_ptr()), host.nbytes()};
}

/// Bytes from `bytes_of` as a matrix like `actual`, on its device.
at::Tensor tensor_like(const at::Tensor& actual, std::string& bytes) {
  return at::from_blob(bytes.data(), actual.sizes(), actual.options().device(at::kCPU)).to(actual.device());
}

}  // namespace

LoweredPlan reference_plan(const Architecture& model) {
  return lower(Plan{.name = "reference", .source = "reference", .rules = {}}, model.modules(), 1);
}

std::int64_t reference_share(std::int64_t batch, int ranks) { return ceil_divide(batch, ranks); }

double error_bound(const Architecture& model, std::int64_t seq, int ranks, at::ScalarType dtype) {
  constexpr double fp32_roundoff = unit_roundoff(Dtype::fp32);
  constexpr std::int64_t block = 384;
  constexpr double margin = 2;
  const auto [count, longest] = model.rounding(seq);
  const auto additions = static_cast<double>(std::min(longest, block) + ceil_divide(longest, block));
  const double roundoff = unit_roundoff(dtype_of(dtype));
  const double of_values = (5.0 + ranks) / 3 * roundoff * roundoff;
  const double of_sums = additions / 6 * fp32_roundoff * fp32_roundoff;
  const auto sublayers = static_cast<double>(count);
  return margin * std::sqrt(2 * sublayers * (of_values + of_sums));
}

Reference::Reference(const Architecture& model, const WeightRecipe& recipe, const at::Tensor& tokens,
                     const World& world)
    : share_(reference_share(tokens.size(0), world.size())),
      sizes_{tokens.size(0), tokens.size(1), model.vocabulary()} {
  const auto batch = tokens.size(0);
  const auto first = std::min(batch, world.rank() * share_);
  const auto count = std::min(batch - first, share_);
  if (count > 0) logits_ = model.reference_logits(recipe, tokens.narrow(0, first, count));
}

// Every rank receives every other rank's share of the reference, some rows at a time, and compares all that it holds:
// its copy of another's sequences too. The rows travel through the World, not through the process group under test.
LogitsError Reference::error(const at::Tensor& logits, World& world) const {
  require_sizes(logits);
  const auto row_bytes = logits.size(2) * static_cast<std::int64_t>(logits.element_size());
  const auto rows = std::max<std::int64_t>(1, exchanged_bytes / world.size() / row_bytes);
  double difference = 0;
  for (std::int64_t i = 0; i < share_; ++i) {
    for (std::int64_t begin = 0; begin < logits.size(1); begin += rows) {
      const auto count = std::min(rows, logits.size(1) - begin);
      difference = std::max(difference, difference_of_rows(logits, i, begin, count, world));
    }
  }
  const auto all = max_over_ranks(world, {difference, logits_.defined() ? largest_of(logits_) : 0});
  return {.max_abs = all[0], .max_rel = finite_or_infinity(all[0] / all[1])};
}

void Reference::require_sizes(const at::Tensor& logits) const {
  if (logits.sizes() == at::IntArrayRef(sizes_)) return;
  throw internal_error({.where = "check",
                        .what = fmt::format("logits of [{}]", fmt::join(logits.sizes(), ", ")),
                        .why = fmt::format("the reference has [{}]", fmt::join(sizes_, ", "))});
}

double Reference::difference_of_rows(const at::Tensor& logits, std::int64_t index, std::int64_t begin,
                                     std::int64_t count, World& world) const {
  const bool mine = logits_.defined() && index < logits_.size(0);
  auto shares = world.exchange(mine ? bytes_of(logits_[index].narrow(0, begin, count)) : std::string());
  double difference = 0;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    if (shares[rank].empty()) continue;
    const auto actual = logits[static_cast<std::int64_t>(rank) * share_ + index].narrow(0, begin, count);
    difference = std::max(difference, largest_of(at::sub(actual, tensor_like(actual, shares[rank]))));
  }
  return difference;
}

}  // namespace tpsp
