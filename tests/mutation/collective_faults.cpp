#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

#include "mutation/faults.h"
#include "support/forwarding.h"

namespace tpsp {
namespace {

enum class Wrong {
  zero,              ///< the result is zero
  stale,             ///< the result is that of the call before of the same size
  not_reduced,       ///< a sum is this rank's own partial; a gather has only this rank's block
  reduced_twice,     ///< a sum is twice the sum
  blocks_swapped,    ///< a gather has two blocks exchanged; a sum its two halves
  row_off_by_one,    ///< the result begins a row late
  last_row_lost,     ///< the last row is zero
  nothing_sent,      ///< this rank contributes zeros
  sent_twice,        ///< this rank contributes twice
  last_column_lost,  ///< the last feature is zero
};

constexpr std::array<std::pair<Wrong, std::string_view>, 10> all_wrongs{{
    {Wrong::zero, "the result is zero"},
    {Wrong::stale, "the result is that of an earlier call"},
    {Wrong::not_reduced, "the other ranks are left out"},
    {Wrong::reduced_twice, "the result is doubled"},
    {Wrong::blocks_swapped, "two blocks are exchanged"},
    {Wrong::row_off_by_one, "the result is a row late"},
    {Wrong::last_row_lost, "the last row is zero"},
    {Wrong::nothing_sent, "the contribution is zero"},
    {Wrong::sent_twice, "the contribution is doubled"},
    {Wrong::last_column_lost, "the last feature is zero"},
}};

/// `inner` with one call of every forward wrong. Values lie in memory of the rank's own, so that a wrong result stays
/// with the rank that has it.
class FaultyProcessGroup final : public ForwardingProcessGroup {
 public:
  FaultyProcessGroup(ProcessGroup& inner, Wrong wrong, int call, int calls_of_a_forward, bool all_ranks)
      : ForwardingProcessGroup(inner),
        wrong_(wrong),
        call_(call),
        calls_of_a_forward_(calls_of_a_forward),
        applies_(all_ranks || inner.rank() == 1) {}

  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return at::empty(sizes, options);
  }
  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return at::empty(sizes, options);
  }
  bool shares_memory() const override { return false; }
  bool is_shared(const at::Tensor&) const override { return false; }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    return ProcessGroup::defer_reduction(kind, partial);
  }

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    const bool now = is_now();
    const auto own = partial.clone();
    ForwardingProcessGroup::all_reduce(sent(own, now), sum);
    spoil(sum, own, now);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    const bool now = is_now();
    const auto own = at::zeros_like(full);
    own.view({size(), -1})[rank()].copy_(shard.reshape({-1}));
    ForwardingProcessGroup::all_gather(sent(shard.clone(), now), full);
    spoil(full, own, now);
  }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    const bool now = is_now();
    const auto own = full.view({size(), -1})[rank()].view(shard.sizes()).clone();
    ForwardingProcessGroup::reduce_scatter(sent(full.clone(), now), shard);
    spoil(shard, own, now);
  }

 private:
  bool is_now() { return calls_++ % calls_of_a_forward_ == call_ && applies_; }

  at::Tensor sent(const at::Tensor& contribution, bool now) const {
    if (now && wrong_ == Wrong::nothing_sent) return at::zeros_like(contribution);
    if (now && wrong_ == Wrong::sent_twice) return contribution * 2;
    return contribution;
  }

  void spoil(const at::Tensor& result, const at::Tensor& own, bool now) {
    const auto right = result.clone();
    if (now) spoil_now(result, own, right);
    earlier_[result.numel()] = right;
  }

  void spoil_now(const at::Tensor& result, const at::Tensor& own, const at::Tensor& right) const {
    switch (wrong_) {
      case Wrong::zero: result.zero_(); break;
      case Wrong::stale:
        if (const auto found = earlier_.find(result.numel()); found != earlier_.end()) {
          result.copy_(found->second.view(result.sizes()));
        }
        break;
      case Wrong::not_reduced: result.copy_(own.view(result.sizes())); break;
      case Wrong::reduced_twice: result.mul_(2); break;
      case Wrong::blocks_swapped: result.copy_(right.view({-1}).roll(right.numel() / 2).view(result.sizes())); break;
      case Wrong::row_off_by_one: result.copy_(right.roll(1, 0)); break;
      case Wrong::last_row_lost: result.narrow(0, result.size(0) - 1, 1).zero_(); break;
      case Wrong::last_column_lost: result.narrow(-1, result.size(-1) - 1, 1).zero_(); break;
      case Wrong::nothing_sent:
      case Wrong::sent_twice: break;
    }
  }

  Wrong wrong_;
  int call_;
  int calls_of_a_forward_;
  bool applies_;
  int calls_ = 0;
  std::map<std::int64_t, at::Tensor> earlier_;
};

}  // namespace

std::vector<Fault> collective_faults(int calls) {
  std::vector<Fault> faults;
  for (int call = 0; call < calls; ++call) {
    for (const auto& [wrong, text] : all_wrongs) {
      for (const bool all_ranks : {false, true}) {
        faults.push_back(
            {.name = fmt::format("collective {}: {} on {}", call, text, all_ranks ? "all ranks" : "rank 1"),
             .injection = {.process_group = [=, which = wrong](ProcessGroup& inner, int calls_of_a_forward) {
               return std::make_unique<FaultyProcessGroup>(inner, which, call, calls_of_a_forward, all_ranks);
             }}});
      }
    }
  }
  return faults;
}

}  // namespace tpsp
