#include "thread_world.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <map>
#include <thread>

#include "tpsp/comm/threads.h"
#include "tpsp/core/activity.h"

namespace tpsp {
namespace {

/// Thrown into ranks whose peer failed; distinct from the failure itself.
class PeerFailed : public Error {
 public:
  PeerFailed() : Error(ExitCode::rows_not_ok, std::string("another rank failed")) {}
};

/// Messages that have arrived, by rank.
struct Mailboxes {
  explicit Mailboxes(int ranks) : of(static_cast<std::size_t>(ranks)) {}

  std::mutex mutex{};
  std::vector<std::vector<std::pair<int, std::string>>> of;
};

class ThreadChannel final : public SideChannel {
 public:
  ThreadChannel(std::shared_ptr<Mailboxes> mail, int rank) : mail_(std::move(mail)), rank_(rank) {}

  void send(const std::string& text) override {
    const std::lock_guard lock(mail_->mutex);
    for (std::size_t peer = 0; peer < mail_->of.size(); ++peer) {
      if (static_cast<int>(peer) != rank_) mail_->of[peer].emplace_back(rank_, text);
    }
  }
  std::vector<std::pair<int, std::string>> receive() override {
    const std::lock_guard lock(mail_->mutex);
    return std::exchange(mail_->of[static_cast<std::size_t>(rank_)], {});
  }

 private:
  std::shared_ptr<Mailboxes> mail_;
  int rank_;
};

}  // namespace

void ThreadGroup::wait() {
  std::unique_lock lock(mutex_);
  if (failed_) throw PeerFailed();
  if (++waiting_ == size_) {
    waiting_ = 0;
    ++generation_;
    arrived_.notify_all();
    return;
  }
  const long mine = generation_;
  arrived_.wait(lock, [&] { return generation_ != mine || failed_; });
  if (generation_ == mine) throw PeerFailed();
}

void ThreadGroup::fail() {
  const std::lock_guard lock(mutex_);
  failed_ = true;
  arrived_.notify_all();
  for (const auto& part : parts_) {
    if (const auto group = part.lock()) group->fail();
  }
}

std::shared_ptr<ThreadGroup> ThreadGroup::make_part(int size) {
  const std::lock_guard lock(mutex_);
  auto part = std::make_shared<ThreadGroup>(size);
  parts_.push_back(part);
  return part;
}

void ThreadGroup::check() {
  const std::lock_guard lock(mutex_);
  if (failed_) throw PeerFailed();
}

void ThreadWorld::barrier() {
  const Doing doing("a barrier", {}, true);
  group_->wait();
}

std::unique_ptr<SideChannel> ThreadWorld::side_channel() {
  const auto mail = group_->share(rank_, [&] { return std::make_shared<Mailboxes>(size()); });
  return std::make_unique<ThreadChannel>(mail, rank_);
}

std::vector<std::string> ThreadWorld::exchange(const std::string& mine) {
  const Doing doing("an exchange of messages", {}, true);
  group_->texts[static_cast<std::size_t>(rank_)] = mine;
  group_->wait();
  auto all = group_->texts;
  group_->wait();
  return all;
}

// Rank 0 makes the groups of all colors.
std::unique_ptr<World> ThreadWorld::split(int color) {
  using Groups = std::map<std::string, std::shared_ptr<ThreadGroup>>;
  const auto colors = exchange(std::to_string(color));
  const auto groups = group_->share(rank_, [&] {
    auto all = std::make_shared<Groups>();
    for (const auto& one : colors) {
      auto& group = (*all)[one];
      if (!group) group = group_->make_part(static_cast<int>(std::count(colors.begin(), colors.end(), one)));
    }
    return all;
  });
  const auto& mine = colors[static_cast<std::size_t>(rank_)];
  const auto before = std::count(colors.begin(), colors.begin() + rank_, mine);
  return std::make_unique<ThreadWorld>(groups->at(mine), static_cast<int>(before));
}

void ThreadWorld::abort(ExitCode code) noexcept { std::_Exit(static_cast<int>(code)); }

void run_threads(int size, const std::function<void(World&)>& body) {
  const auto group = std::make_shared<ThreadGroup>(size);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadWorld world(group, rank);
      try {
        body(world);
      } catch (const PeerFailed&) {
        // an echo: the rank that failed has left its own exception
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
        group->fail();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace tpsp
