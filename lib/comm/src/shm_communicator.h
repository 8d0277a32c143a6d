// Collectives of ranks that see one memory, on tensors.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tpsp/comm/communicator.h"
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
  virtual void look_after(int peer) = 0;
};

Element element_of(const at::Tensor& tensor);

class ShmCommunicator final : public Communicator {
 public:
  /// Collective.
  ShmCommunicator(std::unique_ptr<ShmHost> host, std::string name);

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::string_view backend() const override { return name_; }
  bool shares_memory() const override { return true; }
  bool is_shared(const at::Tensor& whole) const override;
  void reserve(const Room& room) override;
  at::Tensor new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  at::Tensor new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  void all_reduce(const at::Tensor& addend, const at::Tensor& sum) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override;
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override;
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override;

  /// What the tensors' collectives are made of. Another one after `reserve`.
  SharedCollectives& collectives() { return *collectives_; }

 private:
  void make_memory(const Room& room);

  std::unique_ptr<ShmHost> host_;
  std::string name_;
  Room room_;
  std::shared_ptr<SharedCollectives> collectives_;  ///< shared with the tensors that lie in its memory
};

}  // namespace tpsp
