// What a forward does, as a stream of events. Counting, lint, memory prediction, profiles and traces are folds of it;
// nothing else records collectives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/core/activity.h"
#include "tpsp/parallel/placement.h"

namespace tpsp {

/// What time is spent on.
enum class Phase {
  gemm,            ///< GEMMs with weights
  attention,       ///< scores, softmax, and their product with the values
  norm,            ///< RMSNorm, with the residual add before it
  fused_add_norm,  ///< the same in one pass with the sum over the ranks, read from their memory
  wait,            ///< in a collective, until the last rank has arrived
  move,            ///< in a collective, after that: moving and summing data, copies before and after included
  other,           ///< embedding, rotary positions, activation function
};
inline constexpr std::size_t phase_count = 7;
std::string_view to_string(Phase phase);

/// Identifies an event of a stream; `no_event` where no stream is kept.
using EventId = int;
inline constexpr EventId no_event = -1;

/// One operation of one rank, on behalf of one module (or of "logits", the head's output).
struct Event {
  Phase phase = Phase::other;
  std::string_view module{};
  double flops = 0;           ///< multiplications and additions of this rank, in the phases gemm and attention
  EventId reads = no_event;   ///< what made the value that it reads; known of redistributions, adds and norms
  std::string_view kernel{};  ///< of attention: what computes it

  // of a redistribution
  Transition transition = Transition::none;
  Placement from = Placement::replicate();
  Placement to = Placement::replicate();
  std::int64_t bytes = 0;  ///< of the full value
};

/// The collective that a transition is made by; nothing for one that moves no data.
std::optional<Collective> collective_of(Transition transition);
/// The collective's name, else the phase's.
std::string_view name_of(const Event& event);

/// Gets each event when it begins, and a call when the last one that began has ended; events nest.
class EventSink {
 public:
  virtual ~EventSink() = default;

  virtual EventId begin(const Event& event) = 0;
  virtual void end() noexcept = 0;
};

/// An event, for as long as the object lives: the rank's activity, and, where there is a sink, one of its stream.
class EventScope {
 public:
  EventScope(EventSink* sink, const Event& event)
      : doing_(name_of(event), event.module, collective_of(event.transition).has_value()), sink_(sink) {
    if (sink_ != nullptr) id_ = sink_->begin(event);
  }
  ~EventScope() {
    if (sink_ != nullptr) sink_->end();
  }
  EventScope(const EventScope&) = delete;
  EventScope& operator=(const EventScope&) = delete;

  EventId id() const { return id_; }

 private:
  Doing doing_;
  EventSink* sink_;
  EventId id_ = no_event;
};

/// Collectives of one rank.
struct CommCounts {
  std::int64_t all_reduces = 0;
  std::int64_t all_gathers = 0;
  std::int64_t reduce_scatters = 0;
  std::int64_t bytes = 0;  ///< sent by this rank, as `bytes_sent` says

  void add(const Event& event, int ranks);
  CommCounts& operator+=(const CommCounts& more);
  CommCounts operator-(const CommCounts& fewer) const;
  bool operator==(const CommCounts&) const = default;
};

/// Counts the collectives of a stream, and notes what computes attention.
class EventCounter final : public EventSink {
 public:
  explicit EventCounter(int ranks) : ranks_(ranks) {}

  EventId begin(const Event& event) override {
    counts_.add(event, ranks_);
    if (attention_.find(event.kernel) == std::string::npos) {
      if (!attention_.empty()) attention_ += '+';
      attention_ += event.kernel;
    }
    return no_event;
  }
  void end() noexcept override {}

  const CommCounts& counts() const { return counts_; }
  /// The kernels of attention since the last reset, separated by +.
  const std::string& attention() const { return attention_; }
  void reset() {
    counts_ = {};
    attention_.clear();
  }
  /// The counts since the last call or reset.
  CommCounts take() { return std::exchange(counts_, {}); }

 private:
  int ranks_;
  CommCounts counts_;
  std::string attention_;
};

/// Keeps a stream; an event's id is its index.
class EventLog : public EventSink {
 public:
  struct Entry {
    std::string module;
    Event event;  ///< its `module` is gone
  };

  EventId begin(const Event& event) override;
  void end() noexcept override {}

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace tpsp
