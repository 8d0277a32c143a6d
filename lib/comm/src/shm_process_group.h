// Collectives of ranks that see one memory, on tensors.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tpsp/comm/process_group.h"
#include "tpsp/shm/collectives.h"

namespace tpsp {

/// What is behind it: the ranks of a host, and how they come by memory that all of them see.
class ShmHost {
 public:
  virtual ~ShmHost() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Zeroed. Collective.
  virtual std::shared_ptr<SharedMemory> make_memory(std::size_t heap_bytes, std::size_t common_bytes) = 0;
  /// Throws where `peer` will not come any more.
  virtual void check_peer(int peer) = 0;
};

class ShmProcessGroup final : public ProcessGroup {
 public:
  /// Collective.
  ShmProcessGroup(std::unique_ptr<ShmHost> host, std::string name);

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::string_view backend() const override { return name_; }
  bool shares_memory() const override { return true; }
  bool is_shared(const at::Tensor& full) const override;
  void reserve(const ArenaSizes& sizes) override;
  bool can_interrupt() const override { return true; }
  void interrupt() override { collectives_->interrupt(); }
  void reset() override;
  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override;
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override;
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override;

  /// What the tensors' collectives are made of. Another one after `reserve`.
  SharedCollectives& collectives() { return *collectives_; }

 private:
  void make_memory(const ArenaSizes& sizes);

  std::unique_ptr<ShmHost> host_;
  std::string name_;
  ArenaSizes arena_;
  std::shared_ptr<SharedCollectives> collectives_;  ///< shared with the tensors that lie in its memory
};

}  // namespace tpsp
