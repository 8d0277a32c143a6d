// The same body on every rank of one process, and what each rank got.
#pragma once

#include "support/torch_and_catch.h"

#include <string>
#include <type_traits>
#include <vector>

#include "tpsp/comm/backend.h"
#include "tpsp/comm/threads.h"

namespace tpsp {

/// What `body(world, process group)` gives on each of `size` threads, in rank order, with a process group of `backend`.
/// Catch2's checks are not made for threads: they belong after this call.
template <typename Body>
auto on_ranks(const std::string& backend, int size, Body body) {
  using Result = std::invoke_result_t<Body&, World&, ProcessGroup&>;
  static_assert(!std::is_same_v<Result, bool>, "ranks can not write to one vector<bool> at once");
  std::vector<Result> results(static_cast<std::size_t>(size));
  run_threads(size, [&](World& world) {
    const auto comm = make_process_group(standard_backends(), backend, world, at::kCPU);
    results[static_cast<std::size_t>(world.rank())] = body(world, *comm);
  });
  return results;
}

/// The same with the backend "threads".
template <typename Body>
auto on_ranks(int size, Body body) {
  return on_ranks("threads", size, body);
}

/// Ranks that are only imagined, none of them in this process but `rank`. Good for what looks at sizes alone.
class ImaginedWorld final : public World {
 public:
  explicit ImaginedWorld(int size, int rank = 0) : size_(size), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return rank_; }
  int local_size() const override { return size_; }
  std::vector<std::string> exchange(const std::string& mine) override {
    return std::vector<std::string>(static_cast<std::size_t>(size_), mine);
  }
  void barrier() override {}
  std::unique_ptr<World> split(int) override { return std::make_unique<SerialWorld>(); }
  [[noreturn]] void abort(ExitCode) noexcept override { std::terminate(); }

 private:
  int size_;
  int rank_;
};

}  // namespace tpsp
