#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

#include "mutation/faults.h"
#include "support/forward_on_ranks.h"

namespace tpsp {
namespace {

enum class Wrong {
  next_rank,       ///< the shard of rank 0
  row_off_by_one,  ///< rows begin one later
  column_off_by_one,
  halves_swapped,  ///< the halves of the rows are exchanged
  last_row_lost,   ///< the last row is zero
};

constexpr std::array<std::pair<Wrong, std::string_view>, 5> all_wrongs{{
    {Wrong::next_rank, "the shard is rank 0's"},
    {Wrong::row_off_by_one, "rows are shifted by one"},
    {Wrong::column_off_by_one, "columns are shifted by one"},
    {Wrong::halves_swapped, "two halves are exchanged"},
    {Wrong::last_row_lost, "the last row is zero"},
}};

/// One rank's weights, made as ResidentWeights makes them, with those of one module wrong on the last rank.
class FaultyWeights final : public WeightSource {
 public:
  FaultyWeights(const LoweredPlan& plan, int rank, Wrong wrong, std::string module)
      : plan_(plan), rank_(rank), wrong_(wrong), module_(std::move(module)) {
    for (const auto& candidate : plan.modules) modules_.emplace(candidate.name, candidate);
  }

  at::Tensor get(const std::string& module) const override {
    if (module != module_ || rank_ != plan_.world - 1) return shard(module, rank_);
    if (wrong_ == Wrong::next_rank) return shard(module, 0);
    const auto right = shard(module, rank_);
    switch (wrong_) {
      case Wrong::row_off_by_one: return right.roll(1, 0);
      case Wrong::column_off_by_one: return right.roll(1, -1);
      case Wrong::halves_swapped: return right.roll(right.size(0) / 2, 0);
      case Wrong::last_row_lost: right[right.size(0) - 1].zero_(); return right;
      case Wrong::next_rank: break;
    }
    return right;
  }
  std::shared_ptr<const GemmWeight> product(const std::string& module) const override {
    return std::make_shared<const GemmWeight>(get(module), GemmKernel::plain);
  }
  std::shared_ptr<const FusedWeight> fused(const std::string& container) const override {
    const auto& module = modules_.at(container);
    if (!plan_.fuses(module)) return nullptr;
    std::vector<at::Tensor> shards;
    std::vector<std::int64_t> rows;
    for (const auto& entry : module.entries) {
      shards.push_back(get(entry));
      rows.push_back(shards.back().size(0));
    }
    return std::make_shared<const FusedWeight>(FusedWeight{GemmWeight(at::cat(shards), GemmKernel::plain), rows});
  }

 private:
  at::Tensor shard(const std::string& module, int rank) const {
    return make_weight(modules_.at(module), {.dim = plan_.at(module).weight_dim, .rank = rank, .ranks = plan_.world},
                       {.seed = test_seed});
  }

  const LoweredPlan& plan_;
  int rank_;
  Wrong wrong_;
  std::string module_;
  std::map<std::string, Module> modules_;
};

}  // namespace

std::vector<Fault> weight_faults() {
  std::vector<Fault> faults;
  for (const auto* module :
       {"tok_embeddings", "layers.0.attention_norm", "layers.0.attention.wq", "layers.1.attention.wk",
        "layers.0.attention.wv", "layers.1.attention.wo", "layers.1.ffn_norm", "layers.0.feed_forward.w1",
        "layers.1.feed_forward.w3", "layers.1.feed_forward.w2", "norm", "output"}) {
    for (const auto& [wrong, text] : all_wrongs) {
      faults.push_back({.name = fmt::format("weight {}: {} on the last rank", module, text),
                        .injection = {.weights = [=, which = wrong](const LoweredPlan& plan, int rank) {
                          return std::make_unique<FaultyWeights>(plan, rank, which, module);
                        }}});
    }
  }
  return faults;
}

}  // namespace tpsp
