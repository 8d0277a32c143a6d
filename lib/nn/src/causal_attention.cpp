// Blocks of queries against the keys up to their last one: two GEMMs with the exponentials between them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
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
  // `log_sums`, `[batch, seq, heads]`, may be undefined.
  Blocks(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& out,
         const at::Tensor& log_sums)
      : queries_(queries), keys_(keys), values_(values), out_(out), log_sums_(log_sums), scratch_(queries) {}

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
    std::array<float, rows_of_block> log_sums;
    multiply({.rows = rows, .n = keys, .k = head_dim(), .transposed = true, .dtype = dtype}, row(queries_, head, first),
             row(keys_, head / group, 0), scores);
    kernels::causal_exponentials(kernels::CausalRows<T>{.scores = scores,
                                                        .exponentials = exponentials,
                                                        .sums = sums.data(),
                                                        .log_sums = log_sums_.defined() ? log_sums.data() : nullptr,
                                                        .rows = static_cast<std::size_t>(rows),
                                                        .width = static_cast<std::size_t>(keys),
                                                        .visible = static_cast<std::size_t>(first + 1),
                                                        .scale = 1 / std::sqrt(static_cast<float>(head_dim()))});
    multiply({.rows = rows, .n = head_dim(), .k = keys, .transposed = false, .dtype = dtype}, exponentials,
             row(values_, head / group, 0), mixed);
    kernels::divide_rows(out_rows(head, first), mixed, sums.data(), static_cast<std::size_t>(rows),
                         static_cast<std::size_t>(head_dim()));
    if (log_sums_.defined()) keep_log_sums(head, first, {log_sums.data(), static_cast<std::size_t>(rows)});
  }

  void keep_log_sums(std::int64_t head, std::int64_t first, std::span<const float> log_sums) const {
    const auto heads = queries_.size(1);
    auto* out = log_sums_.mutable_data_ptr<float>() + (head / heads * seq() + first) * heads + head % heads;
    for (const float one : log_sums) {
      *out = one;
      out += heads;
    }
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
  const at::Tensor& log_sums_;
  Scratch scratch_;
};

template <typename T>
void run_blocks(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                const AttentionResult& result, const at::Tensor& memory) {
  const Blocks<T> blocks(queries, keys, values, result.mixed, result.log_sums);
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

// A GPU's kernels take strides, so that all queries of a group read one head of keys: a group is a batch of its own.
QueriesKeysValues by_group(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const auto group = queries.size(1) / keys.size(1);
  const auto of_group = [&](const at::Tensor& heads) {
    return heads.flatten(0, 1).unsqueeze(1).expand({-1, group, -1, -1});
  };
  return {queries.flatten(0, 1).unflatten(0, {-1, group}), of_group(keys), of_group(values)};
}

std::string_view choice_of_libtorch(const QueriesKeysValues& of) {
  constexpr std::array<std::string_view, 4> names{"math", "flash", "efficient", "cudnn"};
  const auto choice = at::_fused_sdp_choice(of.queries, of.keys, of.values, {}, 0.0, true);
  return choice >= 0 && choice < static_cast<std::int64_t>(names.size()) ? names[static_cast<std::size_t>(choice)]
                                                                         : "other";
}

at::Tensor attention_on_gpu(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const auto of = by_group(queries, keys, values);
  const auto mixed = at::scaled_dot_product_attention(of.queries, of.keys, of.values, /*attn_mask=*/{},
                                                      /*dropout_p=*/0.0, /*is_causal=*/true);
  return mixed.unflatten(0, {queries.size(0), -1}).permute({3, 0, 1, 2, 4}).reshape(shape_of_result(queries));
}

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

// LibTorch's attention falls back for other sizes on a GPU, and its backward does not.
void require_head_size(const at::Tensor& queries, const StandsFor& meta) {
  constexpr std::int64_t multiple = 8;
  const auto device = queries.is_meta() ? meta.device : queries.device().type();
  if (device != at::kCUDA || queries.size(3) % multiple == 0) return;
  throw bad_input({.where = "attention",
                   .what = fmt::format("heads of {} features have no backward on a GPU", queries.size(3)),
                   .remedy = fmt::format("use a model whose head size is a multiple of {}", multiple)});
}

bool has_blocks(const at::Tensor& queries, const StandsFor& meta) {
  const bool on_cpu = (queries.is_meta() ? meta.device : queries.device().type()) == at::kCPU;
  return on_cpu && has_product(queries.scalar_type());
}

at::Tensor attention_in_blocks(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                               const at::Tensor& log_sums, const StandsFor& meta) {
  const AttentionResult result{.mixed = at::empty(shape_of_result(queries), queries.options()), .log_sums = log_sums};
  const auto threads =
      std::min<std::int64_t>(queries.is_meta() ? meta.threads : at::get_num_threads(), tasks_of(queries));
  const auto memory = at::empty({threads, Scratch(queries).bytes}, queries.options().dtype(at::kByte));
  if (queries.is_meta()) return result.mixed;
  if (queries.scalar_type() == at::kBFloat16) {
    run_blocks<kernels::Bf16>(queries, keys, values, result, memory);
  } else {
    run_blocks<float>(queries, keys, values, result, memory);
  }
  return result.mixed;
}

// `[seq, batch, heads * d]` seen as `[batch, heads, seq, d]`.
at::Tensor seen_by_head(const at::Tensor& mixed, std::int64_t heads) {
  return mixed.unflatten(2, {heads, mixed.size(2) / heads}).permute({1, 2, 0, 3});
}

/// What LibTorch's backward of attention takes beside its results: the gradient by token where it lies otherwise, and
/// for each thread blocks of scores and of their gradients (aten/src/ATen/native/cpu/FlashAttentionKernel.cpp).
std::vector<at::Tensor> scratch_of_backward(const at::Tensor& gradient, const at::Tensor& queries, int threads) {
  constexpr std::int64_t keys_of_block = 512;
  const auto seq = queries.size(2);
  const auto rows = std::min<std::int64_t>(seq, seq >= 768 ? 256 : seq >= 192 ? 64 : 32);
  const auto two_blocks = 2 * rows * std::min(seq, keys_of_block);
  const auto fp32 = queries.options().dtype(at::kFloat);
  std::vector<at::Tensor> scratch{at::empty({threads, two_blocks}, fp32)};
  if (queries.scalar_type() != at::kFloat) scratch.push_back(at::empty({threads, two_blocks}, queries.options()));
  const auto busy = std::min<std::int64_t>(threads, queries.size(0) * queries.size(1));
  for (std::int64_t i = 0; i < busy; ++i) scratch.push_back(at::empty({rows}, fp32));
  const auto by_token = gradient.unflatten(2, {queries.size(1), -1}).transpose(0, 1);
  if (!by_token.is_contiguous()) scratch.push_back(at::empty(by_token.sizes(), by_token.options()));
  return scratch;
}

// The gradient of what repeat_heads has repeated.
at::Tensor sum_of_repeated(const at::Tensor& heads, std::int64_t times) {
  return times == 1 ? heads : heads.unflatten(1, {heads.size(1) / times, times}).sum(2);
}

/// The last answer, since layers ask alike.
struct KnownChoice {
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  std::string_view kernel;
};

}  // namespace

std::string_view attention_kernel(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                                  bool for_backward) {
  if (queries.is_meta()) return {};
  if (has_blocks(queries, {})) return "onednn";
  if (for_backward) return queries.is_cpu() ? "flash" : "efficient";
  thread_local KnownChoice known;
  auto sizes = queries.sizes().vec();
  sizes.push_back(keys.size(1));
  if (known.sizes != sizes || known.dtype != queries.scalar_type() || known.device != queries.device()) {
    const auto group = queries.size(1) / keys.size(1);
    const auto of = queries.is_cuda()
                        ? by_group(queries, keys, values)
                        : QueriesKeysValues{batch_as_heads(queries), batch_as_heads(repeat_heads(keys, group)),
                                            batch_as_heads(repeat_heads(values, group))};
    known = {std::move(sizes), queries.scalar_type(), queries.device(), choice_of_libtorch(of)};
  }
  return known.kernel;
}

at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                            const StandsFor& meta) {
  check(queries, keys, values);
  if (queries.is_cuda()) return attention_on_gpu(queries, keys, values);
  if (queries.is_meta() && meta.device == at::kCUDA) {
    const auto by_head = at::empty_like(queries);
    return at::empty(shape_of_result(queries), queries.options());
  }
  if (!has_blocks(queries, meta)) return attention_of_libtorch(queries, keys, values);
  return attention_in_blocks(queries, keys, values, {}, meta);
}

AttentionResult causal_attention_for_backward(const at::Tensor& queries, const at::Tensor& keys,
                                              const at::Tensor& values, const StandsFor& meta) {
  check(queries, keys, values);
  require_head_size(queries, meta);
  const auto fp32 = queries.options().dtype(at::kFloat);
  const auto log_sums = at::empty({queries.size(0), queries.size(2), queries.size(1)}, fp32);
  if (has_blocks(queries, meta)) {
    return {.mixed = attention_in_blocks(queries, keys, values, log_sums, meta), .log_sums = log_sums};
  }
  const auto mixed = at::empty(shape_of_result(queries), queries.options());
  if (queries.is_meta()) return {.mixed = mixed, .log_sums = log_sums};
  const auto group = queries.size(1) / keys.size(1);
  const auto by_head = seen_by_head(mixed, queries.size(1));
  const auto all_keys = repeat_heads(keys, group);
  const auto all_values = repeat_heads(values, group);
  if (queries.is_cpu()) {
    const auto [out, sums] = at::_scaled_dot_product_flash_attention_for_cpu(queries, all_keys, all_values, 0.0, true);
    by_head.copy_(out);
    log_sums.copy_(sums.transpose(1, 2));
  } else {
    const auto result = at::_scaled_dot_product_efficient_attention(queries, all_keys, all_values, {}, true, 0.0, true);
    by_head.copy_(std::get<0>(result));
    log_sums.copy_(std::get<1>(result).narrow(2, 0, queries.size(2)).transpose(1, 2));
  }
  return {.mixed = mixed, .log_sums = log_sums};
}

AttentionGradients causal_attention_backward(const at::Tensor& gradient, const at::Tensor& queries,
                                             const at::Tensor& keys, const at::Tensor& values,
                                             const AttentionResult& forward, const StandsFor& meta) {
  check(queries, keys, values);
  const auto heads = queries.size(1);
  const auto group = heads / keys.size(1);
  const auto all_keys = repeat_heads(keys, group);
  const auto all_values = repeat_heads(values, group);
  if (queries.is_meta()) {
    const auto of_queries = at::empty_like(queries);
    const auto of_all_keys = at::empty_like(all_keys);
    const auto of_all_values = at::empty_like(all_values);
    if (meta.device == at::kCPU) scratch_of_backward(gradient, queries, meta.threads);
    return {of_queries, sum_of_repeated(of_all_keys, group), sum_of_repeated(of_all_values, group)};
  }
  const auto of_mixed = seen_by_head(gradient, heads);
  const auto mixed = seen_by_head(forward.mixed, heads);
  const auto log_sums = forward.log_sums.transpose(1, 2);
  at::Tensor of_queries, of_keys, of_values;
  if (queries.is_cpu()) {
    std::tie(of_queries, of_keys, of_values) = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        of_mixed, queries, all_keys, all_values, mixed, log_sums, 0.0, true);
  } else {
    const auto none = at::empty({}, queries.options().dtype(at::kLong));
    // The kernel reads whole blocks of 32 rows.
    constexpr std::int64_t block = 32;
    const auto padding = (block - log_sums.size(2) % block) % block;
    const auto all_sums =
        at::constant_pad_nd(log_sums, {0, padding}, std::numeric_limits<double>::infinity()).contiguous();
    std::tie(of_queries, of_keys, of_values, std::ignore) = at::_scaled_dot_product_efficient_attention_backward(
        of_mixed, queries, all_keys, all_values, {}, mixed, all_sums, none, none, 0.0, {true, true, true, false}, true);
  }
  return {.queries = of_queries, .keys = sum_of_repeated(of_keys, group), .values = sum_of_repeated(of_values, group)};
}

}  // namespace tpsp::ops
