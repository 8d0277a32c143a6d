#include "tpsp/core/activity.h"

namespace tpsp {

void Activity::begin(std::string_view what, std::string_view module, bool joint) {
  const std::lock_guard lock(mutex_);
  if (depth_ == entries_.size()) entries_.emplace_back();
  auto& entry = entries_[depth_++];
  entry.what.assign(what);
  entry.module.assign(module);
  entry.joint = joint;
  ++steps_;
  if (joint) ++joint_calls_;
}

void Activity::end() noexcept {
  const std::lock_guard lock(mutex_);
  --depth_;
  ++steps_;
}

Activity::Snapshot Activity::now() const {
  const std::lock_guard lock(mutex_);
  Snapshot snapshot{.steps = steps_, .joint_calls = joint_calls_};
  if (entries_.empty()) return snapshot;
  const auto& entry = entries_[depth_ > 0 ? depth_ - 1 : 0];
  snapshot.what = entry.module.empty() ? entry.what : entry.what + " of " + entry.module;
  snapshot.ended = depth_ == 0;
  snapshot.joint = entry.joint;
  return snapshot;
}

Activity& this_activity() {
  thread_local Activity activity;
  return activity;
}

}  // namespace tpsp
