// What a thread is doing, for another thread that watches whether it goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// What one thread has begun and not ended yet. It writes; any thread may read. A note takes less than 100 ns.
class Activity {
 public:
  struct Snapshot {
    std::uint64_t steps = 0;        ///< begun or ended so far: a thread that stands still has always the same
    std::uint64_t joint_calls = 0;  ///< begun so far of those that all ranks make in the same order
    std::string what{};             ///< the innermost that has not ended, or, where there is none, the last one
    bool ended = true;              ///< there is none
    bool joint = false;             ///< all ranks make this call
  };

  void begin(std::string_view what, std::string_view module, bool joint);
  void end() noexcept;
  Snapshot now() const;

 private:
  struct Entry {
    std::string what{};
    std::string module{};
    bool joint = false;
  };

  mutable std::mutex mutex_;
  std::uint64_t steps_ = 0;
  std::uint64_t joint_calls_ = 0;
  std::vector<Entry> entries_;  ///< the first `depth_` have not ended; the next is the last that did
  std::size_t depth_ = 0;
};

/// The calling thread's. It lives as long as the thread.
Activity& this_activity();

/// Something that the calling thread does, for as long as the object lives.
class Doing {
 public:
  /// `module`: that it is done for, if any. `joint`: all ranks do it, in the same order.
  explicit Doing(std::string_view what, std::string_view module = {}, bool joint = false) : activity_(this_activity()) {
    activity_.begin(what, module, joint);
  }
  ~Doing() { activity_.end(); }
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  Activity& activity_;
};

}  // namespace tpsp
