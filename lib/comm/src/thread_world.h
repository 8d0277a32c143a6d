#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tpsp/comm/world.h"

namespace tpsp {

/// What the ranks of one ThreadWorld share.
class ThreadGroup {
 public:
  explicit ThreadGroup(int size) : texts(static_cast<std::size_t>(size)), size_(size) {}

  int size() const { return size_; }
  /// Waits for all ranks. Throws Error when a rank failed and will not come.
  void wait();
  /// Wakes all waiting ranks; every later wait throws.
  void fail();
  /// Throws where a rank has failed.
  void check();
  /// A group of some of these ranks, which fails with this one.
  std::shared_ptr<ThreadGroup> make_part(int size);

  /// What `make` gives on rank 0, on every rank: a shared_ptr. All ranks call.
  template <typename Make>
  auto share(int rank, const Make& make) -> decltype(make()) {
    if (rank == 0) posted_ = make();
    wait();
    auto shared = std::static_pointer_cast<typename decltype(make())::element_type>(posted_);
    wait();
    if (rank == 0) posted_.reset();
    return shared;
  }

  std::vector<std::string> texts;  ///< one slot a rank, written before a wait and read after it

 private:
  std::shared_ptr<void> posted_;  ///< by rank 0, before a wait
  std::mutex mutex_;
  std::condition_variable arrived_;
  int size_;
  int waiting_ = 0;
  long generation_ = 0;
  bool failed_ = false;
  std::vector<std::weak_ptr<ThreadGroup>> parts_;
};

class ThreadWorld final : public World {
 public:
  ThreadWorld(std::shared_ptr<ThreadGroup> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  int local_rank() const override { return rank_; }
  int local_size() const override { return group_->size(); }
  std::vector<std::string> exchange(const std::string& mine) override;
  void barrier() override;
  std::unique_ptr<World> split(int color) override;
  std::unique_ptr<SideChannel> side_channel() override;
  [[noreturn]] void abort(ExitCode code) noexcept override;

  ThreadGroup& group() const { return *group_; }

 private:
  std::shared_ptr<ThreadGroup> group_;
  int rank_;
};

}  // namespace tpsp
