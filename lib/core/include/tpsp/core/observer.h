// What a forward pass tells somebody who watches it. Nobody does while it is timed.
#pragma once

#include <cstddef>
#include <string_view>

namespace tpsp {

/// What a stretch of time is spent on.
enum class Part {
  gemm,       ///< matrix products
  attention,  ///< scores, softmax, and their product with the values
  norm,       ///< RMSNorm, with the residual sum before it
  seam,       ///< the same in one pass with the sum over the ranks, read from their memory
  wait,       ///< in a collective, until the last rank has arrived
  move,       ///< in a collective, after that: moving and summing data, copies before and after included
  other,      ///< embedding, rotary positions, activation function
};
inline constexpr std::size_t part_count = 7;
std::string_view to_string(Part part);

/// Told when a part begins and when the last one that began has ended; parts nest.
class Observer {
 public:
  virtual ~Observer() = default;

  /// `label` is a module ("layers.0.attention.wq") or a collective ("all-reduce"); `flops` are the multiplications and
  /// additions of this rank's products, in the parts gemm and attention.
  virtual void begin(Part part, std::string_view label, double flops) = 0;
  virtual void end() noexcept = 0;
};

/// A part, for as long as the object lives; nothing without an observer.
class Span {
 public:
  Span(Observer* observer, Part part, std::string_view label, double flops = 0) : observer_(observer) {
    if (observer_ != nullptr) observer_->begin(part, label, flops);
  }
  ~Span() {
    if (observer_ != nullptr) observer_->end();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  Observer* observer_;
};

}  // namespace tpsp
