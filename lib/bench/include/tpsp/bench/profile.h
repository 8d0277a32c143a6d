// Where the time of one forward goes, and its memory: a pass apart from those that are timed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/bench/device.h"
#include "tpsp/comm/communicator.h"
#include "tpsp/comm/world.h"
#include "tpsp/core/observer.h"

namespace tpsp {

/// This host's steady clock.
double steady_clock_s();

/// A stretch of one rank's forward that belongs to one part alone: where parts nest, the inner one.
struct Stretch {
  Part part = Part::other;
  std::string label;   ///< the module or collective; "forward" outside all
  double begin_s = 0;  ///< of this host's steady clock
  double end_s = 0;
};

/// Every moment from start() to stop() as a stretch of some part, so that the parts add up to the whole. The device is
/// synchronised at every edge.
class Timeline final : public Observer {
 public:
  explicit Timeline(DeviceProbe& probe) : probe_(probe) {}

  void start();
  void stop();
  void begin(Part part, std::string_view label, double flops) override;
  void end() noexcept override;

  double total_s() const { return stretches_.empty() ? 0 : stretches_.back().end_s - stretches_.front().begin_s; }
  const std::vector<Stretch>& stretches() const { return stretches_; }
  /// Peak bytes when the head's product began; 0 if it has not.
  std::int64_t peak_before_head() const { return peak_before_head_; }

 private:
  void close_stretch();

  DeviceProbe& probe_;
  std::vector<Stretch> stretches_;
  std::vector<std::pair<Part, std::string>> open_;
  double edge_s_ = 0;
  std::int64_t peak_before_head_ = 0;
};

struct ForwardProfile {
  double total_s = 0;                        ///< mean of the ranks, as the parts are
  std::array<double, part_count> parts_s{};  ///< by Part; they add up to total_s
  std::optional<MemorySplit> peak;           ///< this rank's
  std::int64_t peak_bytes = 0;               ///< this rank's
  std::int64_t before_head_bytes = 0;  ///< this rank's peak before the head's product, above what the forward found
  std::vector<Stretch> stretches;      ///< this rank's
};

/// Runs `forward` once behind a barrier, with the communicator and observer that it is to use. Collective.
ForwardProfile profile(const std::function<void(Communicator&, Observer&)>& forward, World& world, Communicator& comm,
                       DeviceProbe& probe);

}  // namespace tpsp
