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

/// An interval of one rank's forward or training step that belongs to one phase alone: where phases nest, the inner
/// one.
struct PhaseInterval {
  Phase phase = Phase::other;
  std::string label;   ///< the module or collective; "repetition" outside all
  double begin_s = 0;  ///< of this host's steady clock; on a GPU as far from the first as its events are apart
  double end_s = 0;
};

/// Every moment from start() to stop() as an interval of some phase, so that the phases add up to the full time. Edges
/// are marks of the device, so that an asynchronous one is not interrupted. On others the ranks of a collective meet in
/// a barrier before it, whose time is Phase::wait: for a pass of its own, as the barriers change the time.
class Timeline {
 public:
  /// `head` is the module that makes the logits.
  Timeline(DeviceProbe& probe, std::string head) : probe_(probe), head_(std::move(head)) {}

  void start();
  void stop();
  /// `ranks` are those of the event's collective, if it has one.
  void begin(const Event& event, World& ranks);
  void end() noexcept;

  double total_s() const { return intervals_.empty() ? 0 : intervals_.back().end_s - intervals_.front().begin_s; }
  /// After stop().
  const std::vector<PhaseInterval>& intervals() const { return intervals_; }
  /// Peak bytes when the head's GEMM began; 0 if it has not.
  std::int64_t peak_before_head() const { return peak_before_head_; }

 private:
  void close_interval();
  void open(Phase phase, std::string label);

  DeviceProbe& probe_;
  std::string head_;
  std::vector<PhaseInterval> intervals_;  ///< without their times until stop()
  std::vector<std::pair<Phase, std::string>> open_;
  double start_s_ = 0;
  std::int64_t peak_before_head_ = 0;
};

/// A timeline's events of the collectives over some ranks, and all others.
class TimelineSink final : public EventSink {
 public:
  TimelineSink(Timeline& timeline, World& ranks) : timeline_(timeline), ranks_(ranks) {}

  EventId begin(const Event& event) override {
    timeline_.begin(event, ranks_);
    return no_event;
  }
  void end() noexcept override { timeline_.end(); }

 private:
  Timeline& timeline_;
  World& ranks_;
};

struct ForwardProfile {
  double total_s = 0;                          ///< mean of the ranks, as the phases are
  std::array<double, phase_count> phases_s{};  ///< by Phase; they add up to total_s
  std::vector<double> busy_s{};                ///< of each rank: the time that it was in no collective
  std::optional<MemorySplit> peak{};           ///< this rank's
  std::int64_t peak_bytes = 0;                 ///< this rank's
  std::int64_t before_head_bytes = 0;      ///< this rank's peak before the head's GEMM, above what the forward found
  std::vector<PhaseInterval> intervals{};  ///< this rank's
};

/// Runs `repetition` once behind a barrier of all ranks, with the timeline that its events go to through TimelineSinks.
/// `head` is the module that makes the logits. Collective.
ForwardProfile profile(const std::function<void(Timeline&)>& repetition, const std::string& head, World& world,
                       DeviceProbe& probe);

}  // namespace tpsp
