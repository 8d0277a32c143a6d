// A model's forward pass on ranks that are threads, and how far two results are apart.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/forwarding.h"
#include "tpsp/comm/backend.h"
#include "tpsp/comm/dry.h"
#include "tpsp/comm/threads.h"
#include "tpsp/models/llama.h"

// Catch comes after LibTorch, which has a macro CHECK of its own; so tests get it from here.
#include <catch2/catch.hpp>

namespace tpsp {

/// What one rank has after a forward pass.
struct RankResult {
  at::Tensor logits;  ///< gathered, `[batch, seq, vocabulary]`, fp32
  CommCounts counts;  ///< of the forward alone
};

inline constexpr std::uint64_t test_seed = 1;

/// One rank of a LLaMA model. Plan, weights, group and sink outlive it.
class RankModel {
 public:
  RankModel(const LlamaConfig& config, const LoweredPlan& plan, const WeightSource& weights, ProcessGroup& group,
            EventSink* events = nullptr)
      : llama_(config), model_(llama_.bind(plan, weights)), context_{.tp = group, .events = events} {}

  Sharded forward(const at::Tensor& tokens) const { return model_->forward({.tokens = tokens}, context_); }
  at::Tensor gathered(Sharded logits, std::int64_t seq) const {
    return gathered_logits(std::move(logits), seq, llama_.vocabulary(), context_);
  }
  at::Tensor logits(const at::Tensor& tokens) const { return gathered(forward(tokens), tokens.size(1)); }

 private:
  Llama llama_;
  std::unique_ptr<Model> model_;
  Context context_;
};

/// Counts the collectives that reach a transport, whatever the events say.
class CallCounter final : public ForwardingProcessGroup {
 public:
  using ForwardingProcessGroup::ForwardingProcessGroup;

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    count(counts.all_reduces, Collective::all_reduce, sum);
    ForwardingProcessGroup::all_reduce(partial, sum);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    count(counts.all_gathers, Collective::all_gather, full);
    ForwardingProcessGroup::all_gather(shard, full);
  }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    count(counts.reduce_scatters, Collective::reduce_scatter, full);
    ForwardingProcessGroup::reduce_scatter(full, shard);
  }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    count(kind == Collective::all_reduce ? counts.all_reduces : counts.reduce_scatters, kind, partial);
    return ForwardingProcessGroup::defer_reduction(kind, partial);
  }

  CommCounts counts;

 private:
  void count(std::int64_t& calls, Collective kind, const at::Tensor& full) {
    ++calls;
    counts.bytes += bytes_sent(kind, static_cast<std::int64_t>(full.nbytes()), size());
  }
};

/// Runs `body` on `world` threads, each with one core's work and no gradients.
inline void on_ranks(int world, const std::function<void(World&, ProcessGroup&)>& body) {
  at::set_num_threads(1);
  run_threads(world, [&](World& ranks) {
    const c10::InferenceMode no_gradients;
    const auto comm = make_process_group(standard_backends(), "auto", ranks, at::kCPU);
    body(ranks, *comm);
  });
}

/// Arenas for the forward of any rank on `comm`, so that its values lie where collectives need no copy.
inline void reserve_for(ProcessGroup& comm, const LlamaConfig& config, const LoweredPlan& plan,
                        const at::Tensor& tokens, at::ScalarType dtype) {
  DryProcessGroup dry(0, plan.world, comm.shares_memory());
  const ResidentWeights weights(plan, 0, {.seed = test_seed, .dtype = dtype, .device = at::kMeta});
  RankModel(config, plan, weights, dry).logits(tokens.to(at::kMeta));
  comm.reserve(dry.arena());
}

inline std::vector<RankResult> forward_on_ranks(const LlamaConfig& config, const Plan& plan, int world,
                                                const at::Tensor& tokens, at::ScalarType dtype = at::kFloat,
                                                bool reserve = true) {
  const auto lowered = lower(plan, modules_of(config), world);
  std::vector<RankResult> results(static_cast<std::size_t>(world));
  on_ranks(world, [&](World& ranks, ProcessGroup& transport) {
    if (reserve) reserve_for(transport, config, lowered, tokens, dtype);
    EventCounter counter(world);
    const ResidentWeights weights(lowered, ranks.rank(), {.seed = test_seed, .dtype = dtype});
    CallCounter calls(transport);
    const RankModel model(config, lowered, weights, calls, &counter);
    auto logits = model.forward(tokens);
    auto& mine = results[static_cast<std::size_t>(ranks.rank())];
    mine.counts = counter.counts();
    if (mine.counts != calls.counts) throw std::logic_error("the events do not say what the transport has done");
    mine.logits = model.gathered(std::move(logits), tokens.size(1)).to(at::kFloat).contiguous();
  });
  return results;
}

/// The logits of the unsharded model on one rank.
inline at::Tensor unsharded_logits(const LlamaConfig& config, const at::Tensor& tokens,
                                   at::ScalarType dtype = at::kFloat) {
  const Plan nothing{.name = "none", .source = "none", .rules = {}};
  return forward_on_ranks(config, nothing, 1, tokens, dtype).front().logits;
}

/// max|a - b| / max|b|; infinite where shapes differ or anything is not finite.
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  constexpr auto infinity = std::numeric_limits<double>::infinity();
  if (a.sizes() != b.sizes()) return infinity;
  const auto error = (a - b).abs().max().item<double>() / b.abs().max().item<double>();
  return std::isfinite(error) ? error : infinity;
}

/// The largest error of any rank.
inline double largest_error(const std::vector<RankResult>& results, const at::Tensor& expected) {
  double largest = 0;
  for (const auto& result : results) largest = std::max(largest, relative_error(result.logits, expected));
  return largest;
}

/// A plan given as YAML inside a test.
inline Plan inline_plan(const std::string& rules) { return parse_plan("mine", "mine.yaml", "rules:\n" + rules); }

}  // namespace tpsp
