// A communicator whose calls are watched: how long a rank waits for the others, and how long the data then takes.
#pragma once

#include "tpsp/comm/forwarding.h"
#include "tpsp/comm/world.h"
#include "tpsp/core/observer.h"

namespace tpsp {

/// Puts a barrier before each call, observed as Part::wait, and observes the call itself as Part::move. For a pass of
/// its own: the barriers change the time. What is passed in outlives it.
class WatchedCommunicator final : public ForwardingCommunicator {
 public:
  WatchedCommunicator(Communicator& inner, World& world, Observer& observer)
      : ForwardingCommunicator(inner), world_(world), observer_(observer) {}

  void all_reduce(const at::Tensor& addend, const at::Tensor& sum) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override;
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override;
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override;

 private:
  void wait(Collective kind);

  World& world_;
  Observer& observer_;
};

}  // namespace tpsp
