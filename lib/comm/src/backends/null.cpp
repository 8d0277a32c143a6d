// One rank of a group, without the others: collectives are local moves.
#include "tpsp/comm/null.h"

#include <ATen/ATen.h>

namespace tpsp {
namespace {

bool is_at(const at::Tensor& block, const at::Tensor& tensor) {
  return block.const_data_ptr() == tensor.const_data_ptr();
}

}  // namespace

void NullProcessGroup::all_reduce(const at::Tensor& partial, const at::Tensor& sum) {
  if (!is_at(sum, partial)) sum.copy_(partial);
}

void NullProcessGroup::all_gather(const at::Tensor& shard, const at::Tensor& full) {
  const auto blocks = full.view({size_, -1});
  const auto block = shard.view({1, -1});
  if (!is_at(blocks[rank_], shard)) return void(blocks.copy_(block.expand_as(blocks)));
  for (const auto& others : {blocks.narrow(0, 0, rank_), blocks.narrow(0, rank_ + 1, size_ - rank_ - 1)}) {
    if (others.size(0) > 0) others.copy_(block.expand_as(others));
  }
}

void NullProcessGroup::reduce_scatter(const at::Tensor& full, const at::Tensor& shard) {
  shard.copy_(full.view({size_, -1})[rank_].view_as(shard));
}

// As one to choose by its name, it has no rank.
Backend null_backend() {
  auto backend = null_backend(0, 1);
  backend.refusal = [](const World&, at::Device) {
    return std::optional<std::string>("it runs one rank alone, of a forward or training step");
  };
  return backend;
}

Backend null_backend(int rank, int size) {
  return {.name = "null",
          .meaning = "one rank of --world N alone, whose collectives are local moves",
          .refusal =
              [](const World& world, at::Device) {
                return world.size() == 1 ? std::nullopt
                                         : std::optional<std::string>("it runs one rank alone, and there are " +
                                                                      std::to_string(world.size()));
              },
          .make = [rank, size](World&, at::Device) { return std::make_unique<NullProcessGroup>(rank, size); }};
}

}  // namespace tpsp
