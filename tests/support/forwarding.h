// A process group that passes every call on: the base of those that do something besides.
#pragma once

#include "tpsp/comm/process_group.h"

namespace tpsp {

/// `inner` outlives it.
class ForwardingProcessGroup : public ProcessGroup {
 public:
  explicit ForwardingProcessGroup(ProcessGroup& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string_view backend() const override { return inner_.backend(); }
  bool can_interrupt() const override { return inner_.can_interrupt(); }
  void interrupt() override { inner_.interrupt(); }
  void reset() override { inner_.reset(); }
  void reserve(const ArenaSizes& sizes) override { inner_.reserve(sizes); }
  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return inner_.alloc_partial(sizes, options);
  }
  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return inner_.alloc_gathered(sizes, options);
  }
  bool shares_memory() const override { return inner_.shares_memory(); }
  bool is_shared(const at::Tensor& full) const override { return inner_.is_shared(full); }
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override { inner_.all_reduce(partial, sum); }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override { inner_.all_gather(shard, full); }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override { inner_.reduce_scatter(full, shard); }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override {
    return inner_.defer_reduction(kind, partial);
  }

 private:
  ProcessGroup& inner_;
};

}  // namespace tpsp
