// Ranks of one process. Sums are made in fp32 in rank order, so all ranks hold the same bits.
#include "../thread_world.h"
#include "tpsp/comm/backend.h"

namespace tpsp {
namespace {

class ThreadCommunicator final : public Communicator {
 public:
  explicit ThreadCommunicator(ThreadWorld& world) : group_(world.group()), rank_(world.rank()) {}

  int rank() const override { return rank_; }
  int size() const override { return group_.size(); }
  std::string_view backend() const override { return "threads"; }

  void all_reduce(const at::Tensor& addend, const at::Tensor& result) override {
    post(addend);
    const auto sum = sum_of([](const at::Tensor& theirs) { return theirs; });
    withdraw();
    result.copy_(sum);
  }

  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override {
    post(shard);
    const auto blocks = whole.view({size(), shard.numel()});
    for (int peer = 0; peer < size(); ++peer) blocks[peer].copy_(posted(peer).view(-1));
    withdraw();
  }

  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override {
    post(whole);
    const auto sum = sum_of([&](const at::Tensor& theirs) { return theirs.view({size(), shard.numel()})[rank_]; });
    shard.copy_(sum.view_as(shard));
    withdraw();
  }

 private:
  void post(const at::Tensor& mine) {
    group_.tensors[static_cast<std::size_t>(rank_)] = mine;
    group_.wait();
  }
  // Every rank has read; what was posted is the caller's alone again, to write into and to free.
  void withdraw() {
    group_.wait();
    group_.tensors[static_cast<std::size_t>(rank_)].reset();
  }
  const at::Tensor& posted(int peer) const { return group_.tensors[static_cast<std::size_t>(peer)]; }

  template <class Part>
  at::Tensor sum_of(Part part) const {
    auto sum = part(posted(0)).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    for (int peer = 1; peer < size(); ++peer) sum.add_(part(posted(peer)));
    return sum;
  }

  ThreadGroup& group_;
  int rank_;
};

}  // namespace

Backend threads_backend() {
  return {.name = "threads",
          .meaning = "ranks as threads of one process",
          .preference = 10,
          .refusal = [](const World& world, at::Device) -> std::optional<std::string> {
            if (dynamic_cast<const ThreadWorld*>(&world) != nullptr) return std::nullopt;
            return "threads is for ranks inside one process, and these are processes";
          },
          .make = [](World& world,
                     at::Device) { return std::make_unique<ThreadCommunicator>(dynamic_cast<ThreadWorld&>(world)); }};
}

}  // namespace tpsp
