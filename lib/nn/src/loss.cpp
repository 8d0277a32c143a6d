#include "tpsp/nn/loss.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "tpsp/nn/ops.h"

namespace tpsp::nn {
namespace {

/// This rank's part of the logits: which tokens, and which words of the vocabulary.
struct Part {
  std::int64_t first_token;  ///< in the sequence
  std::int64_t first_word;
  std::int64_t words;  ///< without padding
};

std::int64_t first_of(const Sharded& value, int dim, const ProcessGroup& group) {
  return value.placement.is_shard(dim) ? group.rank() * value.local.size(dim) : 0;
}

Part part_of(const Sharded& logits, std::int64_t vocabulary, const ProcessGroup& group) {
  const auto first_word = first_of(logits, feature_dim, group);
  return {.first_token = first_of(logits, seq_dim, group),
          .first_word = first_word,
          .words = std::clamp<std::int64_t>(vocabulary - first_word, 0, logits.local.size(feature_dim))};
}

// The targets of this rank's tokens, `[tokens, batch]`; -1 for padding.
at::Tensor targets_of(const Sharded& logits, const at::Tensor& targets, const Part& part) {
  const auto padded = at::constant_pad_nd(targets, {0, logits.global[0] - targets.size(1)}, -1);
  return padded.narrow(1, part.first_token, logits.local.size(0)).t().contiguous();
}

// [ranks, 3, tokens]: each rank's largest logit, sum of exponentials, and logit of the target, which is 0 where
// another rank has it. Emits the event of a gather, and its memory is a collective's.
at::Tensor exchanged(const at::Tensor& mine, const Sharded& logits, const Context& context) {
  if (!logits.placement.is_shard(feature_dim) || context.tp.size() == 1) return mine.unsqueeze(0);
  const auto ranks = context.tp.size();
  Sharded parts{.local = mine.unsqueeze(0),
                .global = {ranks, mine.size(0), mine.size(1)},
                .placement = Placement::shard(seq_dim)};
  return redistribute(std::move(parts), Placement::replicate(), context, loss_module).local;
}

// Sums what each rank has of the tokens where those are sharded.
double sum_over_tokens(double mine, const Sharded& logits, const Context& context) {
  if (!logits.placement.is_shard(seq_dim) || context.tp.size() == 1) return mine;
  auto term = context.tp.alloc_partial({1, 1, 1}, logits.local.options().dtype(at::kFloat));
  if (!term.is_meta()) term.fill_(mine);
  Sharded sum{.local = std::move(term), .global = {1, 1, 1}, .placement = Placement::partial()};
  sum = redistribute(std::move(sum), Placement::replicate(), context, loss_module);
  return sum.local.is_meta() ? 0 : sum.local.item<double>();
}

}  // namespace

Loss cross_entropy(Sharded logits, const at::Tensor& targets, std::int64_t vocabulary, double scale,
                   const Context& all) {
  const auto context = all.without_saved();
  const auto part = part_of(logits, vocabulary, context.tp);
  const auto wanted = targets_of(logits, targets, part).flatten();
  const auto here = wanted - part.first_word;  // the target among this rank's words, perhaps
  const auto counted = wanted.ge(0);
  const auto rows = logits.local.flatten(0, 1);
  const auto words = rows.narrow(1, 0, part.words);
  const auto sums = exchanged(ops::softmax_sums(words, here), logits, context);
  const auto log_sums = at::empty({rows.size(0)}, sums.options());
  const auto losses = at::empty({rows.size(0)}, sums.options());
  ops::combine_softmax_sums(sums, log_sums, losses);
  const auto total = ops::sum_of_counted(losses, counted);
  ops::cross_entropy_backward(words, log_sums, here, counted, scale);
  if (part.words < rows.size(1)) rows.narrow(1, part.words, rows.size(1) - part.words).zero_();
  return {.value = scale * sum_over_tokens(total, logits, context), .gradient = std::move(logits)};
}

}  // namespace tpsp::nn
