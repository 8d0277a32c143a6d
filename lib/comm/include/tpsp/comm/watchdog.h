// Ends a run that stands still, and says which rank keeps the others waiting.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/comm/side_channel.h"
#include "tpsp/comm/world.h"
#include "tpsp/core/activity.h"

namespace tpsp {

struct RankReport;

/// What is known of a run that stands still.
struct Stall {
  std::vector<std::string> reports;  ///< what each rank that lives is doing, a line each
  std::string verdict;               ///< who keeps the others waiting
};

struct StallActions {
  std::function<void(const Stall&)> end;  ///< on the lowest rank that lives
  std::function<void()> give_up;          ///< on the others, when that has not ended them
};

/// Watches the thread that makes it, from a thread of its own. A rank that has neither begun nor ended anything (Doing,
/// events of a forward, messages of the World) for the timeout asks the others, and every rank that lives answers with
/// what it is doing. If all do and one of them works, the run goes on; otherwise it is ended, within `grace_s` and a
/// second. Time in which the process was stopped counts little.
class Watchdog {
 public:
  /// Watches nothing before it is given a timeout. Collective.
  Watchdog(World& world, StallActions actions, double grace_s = 2);
  /// Collective, unless an error unwinds.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Seconds; 0 for none. The same on all ranks.
  void set_timeout(double seconds);
  /// What the rank is about to do, for its report.
  void set_phase(std::string phase);

  /// Asks `group` whether its transport has failed, from now on until the object goes, which the group outlives.
  class Guard {
   public:
    Guard(Watchdog& watchdog, const ProcessGroup& group);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    Watchdog& watchdog_;
    const ProcessGroup* group_;
  };

 private:
  using Reports = std::map<int, RankReport>;

  void watch();
  bool pause(double seconds);
  double timeout_s() const;
  std::string failure() const;
  RankReport report(double idle_s) const;
  bool ask_others(const RankReport& mine, bool was_stopped, Reports reports);
  void end_run(const Reports& reports, bool was_stopped);

  StallActions actions_;
  double grace_s_;
  int rank_;
  std::vector<std::string> places_;  ///< "host (pid 4711)" of each rank
  const Activity& activity_;
  std::unique_ptr<SideChannel> channel_;  ///< null where the ranks have none, and each speaks for itself

  mutable std::mutex mutex_;
  std::condition_variable stop_called_;
  bool stop_ = false;
  double timeout_s_ = 0;
  std::string phase_ = "start";
  std::vector<const ProcessGroup*> groups_;
  std::thread thread_;  ///< the last, since it uses the others
};

}  // namespace tpsp
