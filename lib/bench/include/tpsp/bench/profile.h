// Where the time of one forward goes, and its memory: a pass apart from those that are timed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/bench/clock.h"
#include "tpsp/comm/world.h"
#include "tpsp/machine/device.h"
#include "tpsp/parallel/events.h"

namespace tpsp {

/// An interval of one rank's forward that belongs to one phase alone: where phases nest, the inner one.
struct PhaseInterval {
  Phase phase = Phase::other;
  std::string label;   ///< the module or collective; "repetition" outside all
  double begin_s = 0;  ///< of this host's steady clock
  double end_s = 0;
};

/// Every moment from start() to stop() as an interval of some phase, so that the phases add up to the full time. The
/// device is synchronised at every edge. Before a collective the ranks meet in a barrier, whose time is Phase::wait:
/// for a pass of its own, as the barriers change the time.
class Timeline final : public EventSink {
 public:
  /// `head` is the module that makes the logits.
  Timeline(DeviceProbe& probe, World& world, std::string head) : probe_(probe), world_(world), head_(std::move(head)) {}

  void start();
  void stop();
  EventId begin(const Event& event) override;
  void end() noexcept override;

  double total_s() const { return intervals_.empty() ? 0 : intervals_.back().end_s - intervals_.front().begin_s; }
  const std::vector<PhaseInterval>& intervals() const { return intervals_; }
  /// Peak bytes when the head's GEMM began; 0 if it has not.
  std::int64_t peak_before_head() const { return peak_before_head_; }

 private:
  void close_interval();
  void open(Phase phase, std::string label);

  DeviceProbe& probe_;
  World& world_;
  std::string head_;
  std::vector<PhaseInterval> intervals_;
  std::vector<std::pair<Phase, std::string>> open_;
  double edge_s_ = 0;
  std::int64_t peak_before_head_ = 0;
};

struct ForwardProfile {
  double total_s = 0;                          ///< mean of the ranks, as the phases are
  std::array<double, phase_count> phases_s{};  ///< by Phase; they add up to total_s
  std::optional<MemorySplit> peak;             ///< this rank's
  std::int64_t peak_bytes = 0;                 ///< this rank's
  std::int64_t before_head_bytes = 0;    ///< this rank's peak before the head's GEMM, above what the forward found
  std::vector<PhaseInterval> intervals;  ///< this rank's
};

/// Runs `forward` once behind a barrier, with the sink that it is to use. `head` is the module that makes the logits.
/// Collective.
ForwardProfile profile(const std::function<void(EventSink&)>& forward, const std::string& head, World& world,
                       DeviceProbe& probe);

}  // namespace tpsp
