// Blocks of queries against the keys up to their last one: two GEMMs with the exponentials between them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "tpsp/core/error.h"
#include "tpsp/gemm/product.h"
#include "tpsp/kernels/kernels.h"
#include "tpsp/nn/ops.h"

namespace tpsp::ops {
namespace {

// More waste what the mask hides; fewer make the GEMMs slower.
constexpr std::int64_t rows_of_block = 64;

std::int64_t blocks_of(std::int64_t seq) { return (seq + rows_of_block - 1) / rows_of_block; }

// One block of one head's queries each.
std::int64_t tasks_of(const at::Tensor& queries) {
  return queries.size(0) * queries.size(1) * blocks_of(queries.size(2));
}

std::vector<std::int64_t> shape_of_result(const at::Tensor& queries) {
  return {queries.size(2), queries.size(0), queries.size(1) * queries.size(3)};
}

std::int64_t aligned(std::int64_t bytes) {
  constexpr std::int64_t cache_line = 64;
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

/// What a thread needs for one block: scores and the mixed values in fp32, exponentials in the dtype. Those of fp32 are
/// written over the scores.
struct Scratch {
  explicit Scratch(const at::Tensor& queries)
      : exponentials(queries.scalar_type() == at::kFloat ? 0 : aligned(scores_of(queries) * sizeof(float))),
        mixed(exponentials + aligned(scores_of(queries) * queries.element_size())),
        bytes(mixed + aligned(rows_of_block * queries.size(3) * sizeof(float))) {}

  std::int64_t exponentials;  // where they start; the scores start at 0
  std::int64_t mixed;
  std::int64_t bytes;

 private:
  static std::int64_t scores_of(const at::Tensor& queries) { return rows_of_block * queries.size(2); }
};

template <typename T>
class Blocks {
 public:
  Blocks(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& out)
      : queries_(queries), keys_(keys), values_(values), out_(out), scratch_(queries) {}

  // The blocks of a head alternate between its start and its end, so that threads that
  // get some in a row get as much work each.
  void run(std::int64_t task, std::byte* memory) const {
    const auto blocks = blocks_of(seq());
    const auto head = task / blocks;
    const auto turn = task % blocks;
    const auto first = rows_of_block * (turn % 2 == 0 ? turn / 2 : blocks - 1 - turn / 2);
    block(head, first, std::min(rows_of_block, seq() - first), memory);
  }

 private:
  std::int64_t seq() const { return queries_.size(2); }
  std::int64_t head_dim() const { return queries_.size(3); }

  // `head` counts over the batch.
  void block(std::int64_t head, std::int64_t first, std::int64_t rows, std::byte* memory) const {
    const auto dtype = queries_.scalar_type();
    const auto keys = first + rows;
    const auto group = queries_.size(1) / keys_.size(1);
    auto* const scores = reinterpret_cast<float*>(memory);
    auto* const exponentials = reinterpret_cast<T*>(memory + scratch_.exponentials);
    auto* const mixed = reinterpret_cast<float*>(memory + scratch_.mixed);
    std::array<float, rows_of_block> sums;
    multiply({.rows = rows, .n = keys, .k = head_dim(), .transposed = true, .dtype = dtype}, row(queries_, head, first),
             row(keys_, head / group, 0), scores);
    kernels::causal_exponentials(kernels::CausalRows<T>{.scores = scores,
                                                        .exponentials = exponentials,
                                                        .sums = sums.data(),
                                                        .rows = static_cast<std::size_t>(rows),
                                                        .width = static_cast<std::size_t>(keys),
                                                        .visible = static_cast<std::size_t>(first + 1),
                                                        .scale = 1 / std::sqrt(static_cast<float>(head_dim()))});
    multiply({.rows = rows, .n = head_dim(), .k = keys, .transposed = false, .dtype = dtype}, exponentials,
             row(values_, head / group, 0), mixed);
    kernels::divide_rows(out_rows(head, first), mixed, sums.data(), static_cast<std::size_t>(rows),
                         static_cast<std::size_t>(head_dim()));
  }

  static const T* row(const at::Tensor& heads, std::int64_t head, std::int64_t row) {
    return static_cast<const T*>(heads.const_data_ptr()) + (head * heads.size(2) + row) * heads.size(3);
  }
  kernels::Rows<T> out_rows(std::int64_t head, std::int64_t first) const {
    return {static_cast<T*>(out_.mutable_data_ptr()) + first * out_.stride(0) + head * head_dim(),
            static_cast<std::size_t>(out_.stride(0))};
  }

  const at::Tensor& queries_;
  const at::Tensor& keys_;
  const at::Tensor& values_;
  const at::Tensor& out_;
  Scratch scratch_;
};

template <typename T>
void run_blocks(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& out,
                const at::Tensor& memory) {
  const Blocks<T> blocks(queries, keys, values, out);
  at::parallel_for(0, tasks_of(queries), 1, [&](std::int64_t begin, std::int64_t end) {
    auto* const mine = static_cast<std::byte*>(memory.mutable_data_ptr()) + at::get_thread_num() * memory.stride(0);
    for (auto task = begin; task < end; ++task) blocks.run(task, mine);
  });
}

// [batch, kv heads, seq, d] with each head repeated for the queries of its group; LibTorch's CPU kernel wants them
// equal.
at::Tensor repeat_heads(const at::Tensor& heads, std::int64_t times) {
  return times == 1 ? heads : heads.repeat_interleave(times, 1);
}

// Attention knows no batch apart from heads.
at::Tensor batch_as_heads(const at::Tensor& heads) { return heads.flatten(0, 1).unsqueeze(0); }

at::Tensor attention_of_libtorch(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const auto group = queries.size(1) / keys.size(1);
  const auto all_keys = repeat_heads(keys, group);
  const auto all_values = repeat_heads(values, group);
  if (queries.is_meta()) return at::empty(shape_of_result(queries), queries.options());
  const auto mixed = at::scaled_dot_product_attention(batch_as_heads(queries), batch_as_heads(all_keys),
                                                      batch_as_heads(all_values), /*attn_mask=*/{},
                                                      /*dropout_p=*/0.0, /*is_causal=*/true);
  return mixed.squeeze(0).transpose(0, 1).reshape(shape_of_result(queries));
}

void check(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const auto fits = [&](const at::Tensor& one) {
    return one.dim() == 4 && one.is_contiguous() && one.scalar_type() == queries.scalar_type() &&
           one.size(0) == queries.size(0) && one.size(2) == queries.size(2) && one.size(3) == queries.size(3);
  };
  const bool all = fits(queries) && fits(keys) && fits(values) && keys.size(1) == values.size(1) &&
                   queries.size(1) % keys.size(1) == 0;
  if (!all) throw internal_error({.where = "attention", .what = "queries, keys and values do not fit together"});
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                            const StandsFor& meta) {
  check(queries, keys, values);
  const bool on_cpu = (queries.is_meta() ? meta.device : queries.device().type()) == at::kCPU;
  if (!on_cpu || !has_product(queries.scalar_type())) return attention_of_libtorch(queries, keys, values);
  auto out = at::empty(shape_of_result(queries), queries.options());
  const auto threads =
      std::min<std::int64_t>(queries.is_meta() ? meta.threads : at::get_num_threads(), tasks_of(queries));
  const auto memory = at::empty({threads, Scratch(queries).bytes}, queries.options().dtype(at::kByte));
  if (queries.is_meta()) return out;
  if (queries.scalar_type() == at::kBFloat16) {
    run_blocks<kernels::Bf16>(queries, keys, values, out, memory);
  } else {
    run_blocks<float>(queries, keys, values, out, memory);
  }
  return out;
}

}  // namespace tpsp::ops
