// Ranks of several hosts: shared memory inside a host, MPI between hosts. What crosses the network is split into as
// many parts as a host has ranks, and each rank carries one.
//
// Sums are made in rank order inside a host and rounded once, then in host order over the hosts' sums and rounded once:
// a bfloat16 sum is rounded twice. Both orders are fixed, so that every run and every rank has the same bits.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>

#include "../mpi_check.h"
#include "../mpi_host.h"
#include "../mpi_parts.h"
#include "../mpi_world.h"
#include "tpsp/comm/backend.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/kernels/kernels.h"

namespace tpsp {
namespace {

/// Memory that stays from call to call, so that only a larger call takes more of it.
class Scratch {
 public:
  std::byte* of(std::size_t bytes) {
    if (memory_.size() < bytes) memory_.resize(bytes);
    return memory_.data();
  }

 private:
  std::vector<std::byte> memory_;
};

/// The ranks that have the same place on their hosts, in host order.
class AcrossHosts {
 public:
  /// Collective over the world.
  explicit AcrossHosts(World& world)
      : hosts_(world.split(world.local_rank())),
        comm_(mpi_comm(*hosts_)),
        size_(static_cast<std::size_t>(hosts_->size())) {}

  std::size_t size() const { return size_; }

  /// `full`: size() blocks of `count`, one for each host; `sum` becomes the sum of this host's, and may be anywhere.
  void reduce_scatter(Dtype dtype, const std::byte* full, std::byte* sum, std::size_t count) {
    auto* const blocks = blocks_.of(size_ * count * bytes_of(dtype));
    mpi_all_to_all(full, blocks, count, mpi_element(dtype), {comm_});
    sum_blocks(dtype, blocks, sum, count);
  }

  /// `full`: size() blocks of `bytes`.
  void all_gather(const std::byte* block, std::byte* full, std::size_t bytes) {
    mpi_all_gather(block, full, bytes, {.type = MPI_BYTE, .bytes = 1}, {comm_});
  }

  /// Of so few elements that one message each is the quickest way. `sum` may be `partial`.
  void all_reduce(Dtype dtype, const std::byte* partial, std::byte* sum, std::size_t count) {
    const auto bytes = count * bytes_of(dtype);
    auto* const blocks = blocks_.of(size_ * bytes);
    all_gather(partial, blocks, bytes);
    sum_blocks(dtype, blocks, sum, count);
  }

 private:
  template <typename T>
  void sum_as(const std::byte* blocks, std::byte* out, std::size_t count) {
    std::vector<const T*> terms;
    for (std::size_t host = 0; host < size_; ++host) terms.push_back(reinterpret_cast<const T*>(blocks) + host * count);
    kernels::sum(reinterpret_cast<T*>(out), terms, count);
  }
  void sum_blocks(Dtype dtype, const std::byte* blocks, std::byte* out, std::size_t count) {
    if (dtype == Dtype::fp32) return sum_as<float>(blocks, out, count);
    sum_as<kernels::Bf16>(blocks, out, count);
  }

  std::unique_ptr<World> hosts_;
  MPI_Comm comm_;
  std::size_t size_;
  Scratch blocks_;
};

// Partials lie in the host's shared memory where there is space. An `alloc_gathered` is this rank's own:
// as the hosts do not see each other's memory, what it becomes may be written on.
class HierarchicalProcessGroup final : public ProcessGroup {
 public:
  explicit HierarchicalProcessGroup(World& world)
      : rank_(world.rank()),
        size_(world.size()),
        local_(static_cast<std::size_t>(world.local_size())),
        inside_(std::make_unique<MpiHost>(world, "hierarchical"), "shm"),
        across_(world) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "hierarchical"; }

  void reserve(const ArenaSizes& sizes) override {
    if (local_ > 1) inside_.reserve({.partial_bytes = sizes.partial_bytes, .gathered_bytes = 0});
  }
  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override {
    return local_ > 1 ? inside_.alloc_partial(sizes, options) : ProcessGroup::alloc_partial(sizes, options);
  }

  // What does not divide over the ranks is less than an element for each, and summed beside the rest.
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    const auto dtype = dtype_of(partial.scalar_type());
    const auto count = static_cast<std::size_t>(partial.numel());
    const auto even = count / static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_);
    const auto* const from = static_cast<const std::byte*>(partial.const_data_ptr());
    auto* const to = static_cast<std::byte*>(sum.mutable_data_ptr());
    if (even > 0) reduce_even(dtype, from, to, even);
    const auto done = even * bytes_of(dtype);
    if (even < count) reduce_few(dtype, from + done, to + done, count - even);
  }

  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    auto* const to = static_cast<std::byte*>(full.mutable_data_ptr());
    const auto bytes = shard.nbytes();
    auto* const blocks = parts_.of(across_.size() * bytes);
    across_.all_gather(static_cast<const std::byte*>(shard.const_data_ptr()), blocks, bytes);
    for (std::size_t host = 0; host < across_.size(); ++host) {
      gather_inside(blocks + host * bytes, to + host * local_ * bytes, bytes);
    }
  }

  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    const auto dtype = dtype_of(full.scalar_type());
    const auto count = static_cast<std::size_t>(shard.numel());
    const auto bytes = count * bytes_of(dtype);
    const auto* const from = static_cast<const std::byte*>(full.const_data_ptr());
    auto* const parts = parts_.of(across_.size() * bytes);
    for (std::size_t host = 0; host < across_.size(); ++host) {
      scatter_inside(dtype, from + host * local_ * bytes, parts + host * bytes, count);
    }
    across_.reduce_scatter(dtype, parts, static_cast<std::byte*>(shard.mutable_data_ptr()), count);
  }

 private:
  // Each rank has a part of its host's sum, sums a piece of it over the hosts, and all of it is gathered back.
  void reduce_even(Dtype dtype, const std::byte* partial, std::byte* sum, std::size_t count) {
    const auto part = count / local_;
    const auto piece = part / across_.size();
    const auto bytes = part * bytes_of(dtype);
    auto* const parts = parts_.of(bytes);
    auto* const pieces = pieces_.of(piece * bytes_of(dtype));
    scatter_inside(dtype, partial, parts, part);
    across_.reduce_scatter(dtype, parts, pieces, piece);
    across_.all_gather(pieces, parts, piece * bytes_of(dtype));
    gather_inside(parts, sum, bytes);
  }

  // From a copy, since peers may read a partial that they see for longer than it takes to get here with its sum.
  void reduce_few(Dtype dtype, const std::byte* partial, std::byte* sum, std::size_t count) {
    const auto bytes = count * bytes_of(dtype);
    auto* const few = parts_.of(bytes);
    std::memcpy(few, partial, bytes);
    if (local_ > 1) inside_.collectives().all_reduce(dtype, few, few, count);
    across_.all_reduce(dtype, few, sum, count);
  }

  void scatter_inside(Dtype dtype, const std::byte* full, std::byte* shard, std::size_t count) {
    if (local_ > 1) return inside_.collectives().reduce_scatter(dtype, full, shard, count);
    std::memcpy(shard, full, count * bytes_of(dtype));
  }

  void gather_inside(const std::byte* shard, std::byte* full, std::size_t bytes) {
    if (local_ > 1) return inside_.collectives().all_gather(shard, full, bytes);
    std::memcpy(full, shard, bytes);
  }

  int rank_;
  int size_;
  std::size_t local_;  ///< ranks of a host
  ShmProcessGroup inside_;
  AcrossHosts across_;
  Scratch parts_;
  Scratch pieces_;
};

std::optional<std::string> refusal(const World& world, at::Device device) {
  if (!device.is_cpu()) return "hierarchical is for tensors in host memory";
  if (mpi_comm(world) == MPI_COMM_NULL) return "hierarchical needs ranks started by mpirun or srun";
  if (world.local_size() == world.size()) return "hierarchical is for several hosts, and all ranks are on this one";
  if (!world.has_even_hosts()) {
    return "hierarchical needs equally many ranks on every host, and those of a host one after the other";
  }
  if (world.local_size() > most_shm_ranks)
    return fmt::format("hierarchical is for up to {} ranks a host", most_shm_ranks);
  return std::nullopt;
}

}  // namespace

Backend hierarchical_backend() {
  return {.name = "hierarchical",
          .meaning = "shared memory inside each host, MPI between hosts",
          .preference = 30,
          .refusal = refusal,
          .make = [](World& world, at::Device) { return std::make_unique<HierarchicalProcessGroup>(world); }};
}

}  // namespace tpsp
