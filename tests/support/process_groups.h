// Process groups that do something besides communicating.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <utility>

#include "support/forwarding.h"

namespace tpsp {

/// Passes every call on, and lets `change`, if there is one, at the results of all collectives, in place.
class ChangingProcessGroup final : public ForwardingProcessGroup {
 public:
  ChangingProcessGroup(ProcessGroup& inner, std::function<void(const at::Tensor&)> change)
      : ForwardingProcessGroup(inner), change_(std::move(change)) {}

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    ForwardingProcessGroup::all_reduce(partial, sum);
    if (change_) change_(sum);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    ForwardingProcessGroup::all_gather(shard, full);
    if (change_) change_(full);
  }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    ForwardingProcessGroup::reduce_scatter(full, shard);
    if (change_) change_(shard);
  }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    auto terms = ForwardingProcessGroup::defer_reduction(kind, partial);
    if (!change_) return terms;
    // What the others read stays as it is, and is released when they release it.
    const auto changed = terms.front().clone();
    change_(changed);
    terms.front() = at::from_blob(
        changed.data_ptr(), changed.sizes(), [changed, original = terms.front()](void*) {}, changed.options());
    return terms;
  }

 private:
  std::function<void(const at::Tensor&)> change_;
};

/// Hides that the ranks share memory, so that sums are finished before anybody reads them.
class Apart final : public ForwardingProcessGroup {
 public:
  using ForwardingProcessGroup::ForwardingProcessGroup;
  bool shares_memory() const override { return false; }
  bool is_shared(const at::Tensor&) const override { return false; }
  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return at::empty(sizes, options);
  }
  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return at::empty(sizes, options);
  }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    return ProcessGroup::defer_reduction(kind, partial);
  }
};

}  // namespace tpsp
