// Communicators that do something besides communicating.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <utility>

#include "tpsp/comm/communicator.h"

namespace tpsp {

/// Passes every call on, and lets `change` at the results: of all three collectives, in place.
class ChangingCommunicator final : public Communicator {
 public:
  ChangingCommunicator(Communicator& inner, std::function<void(const at::Tensor&)> change)
      : inner_(inner), change_(std::move(change)) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string_view backend() const override { return inner_.backend(); }
  void all_reduce(const at::Tensor& buffer) override {
    inner_.all_reduce(buffer);
    change_(buffer);
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override {
    inner_.all_gather(shard, whole);
    change_(whole);
  }
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override {
    inner_.reduce_scatter(whole, shard);
    change_(shard);
  }

 private:
  Communicator& inner_;
  std::function<void(const at::Tensor&)> change_;
};

}  // namespace tpsp
