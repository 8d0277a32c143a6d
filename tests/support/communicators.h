// Communicators that do something besides communicating.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <utility>

#include "tpsp/comm/forwarding.h"

namespace tpsp {

/// Passes every call on, and lets `change`, if there is one, at the results of all collectives, in place.
class ChangingCommunicator final : public ForwardingCommunicator {
 public:
  ChangingCommunicator(Communicator& inner, std::function<void(const at::Tensor&)> change)
      : ForwardingCommunicator(inner), change_(std::move(change)) {}

  void all_reduce(const at::Tensor& addend, const at::Tensor& sum) override {
    ForwardingCommunicator::all_reduce(addend, sum);
    if (change_) change_(sum);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override {
    ForwardingCommunicator::all_gather(shard, whole);
    if (change_) change_(whole);
  }
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override {
    ForwardingCommunicator::reduce_scatter(whole, shard);
    if (change_) change_(shard);
  }
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override {
    auto terms = ForwardingCommunicator::addends(kind, partial);
    if (!change_) return terms;
    terms.front() = terms.front().clone();  // what the others read stays as it is
    change_(terms.front());
    return terms;
  }

 private:
  std::function<void(const at::Tensor&)> change_;
};

}  // namespace tpsp
