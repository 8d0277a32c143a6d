// A communicator that passes every call on: the base of those that do something besides.
#pragma once

#include "tpsp/comm/communicator.h"

namespace tpsp {

/// `inner` outlives it.
class ForwardingCommunicator : public Communicator {
 public:
  explicit ForwardingCommunicator(Communicator& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string_view backend() const override { return inner_.backend(); }
  void reserve(const Room& room) override { inner_.reserve(room); }
  at::Tensor new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return inner_.new_partial(sizes, options);
  }
  at::Tensor new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return inner_.new_whole(sizes, options);
  }
  bool shares_memory() const override { return inner_.shares_memory(); }
  bool is_shared(const at::Tensor& whole) const override { return inner_.is_shared(whole); }
  void all_reduce(const at::Tensor& addend, const at::Tensor& sum) override { inner_.all_reduce(addend, sum); }
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override { inner_.all_gather(shard, whole); }
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override {
    inner_.reduce_scatter(whole, shard);
  }
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override {
    return inner_.addends(kind, partial);
  }

 private:
  Communicator& inner_;
};

}  // namespace tpsp
