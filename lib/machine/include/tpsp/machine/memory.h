// How much memory tensors take: counted under LibTorch's allocator, on the CPU or on the meta device.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

#include "tpsp/core/memory_use.h"

namespace tpsp {

class AllocationCounters;

/// Counts the bytes of tensors allocated on one device type while the meter lives, on top of the allocator that was
/// there. Meta tensors have no storage and are counted all the same: that is how a preview knows its peak. Tensors may
/// outlive the meter, and meters may overlap and end in any order.
///
/// A meter counts what its own thread allocates, and what threads without a meter do (LibTorch's workers): so ranks
/// that are threads of one process each see their own memory.
class AllocationMeter {
 public:
  explicit AllocationMeter(c10::DeviceType type);
  ~AllocationMeter();
  AllocationMeter(const AllocationMeter&) = delete;
  AllocationMeter& operator=(const AllocationMeter&) = delete;

  std::int64_t current_bytes() const;
  std::int64_t peak_bytes() const { return peak().total(); }
  /// What was alive when the most was, by use.
  MemorySplit peak() const;
  /// The peak starts again from what is allocated now.
  void reset_peak();

 private:
  c10::DeviceType type_;
  std::shared_ptr<AllocationCounters> counters_;
};

/// This process's resident set in bytes now (VmRSS); 0 where the system does not report it.
std::int64_t resident_set_bytes();
/// This process's peak resident set in bytes since the last reset (VmHWM); 0 where the system does not report it.
std::int64_t peak_resident_bytes();
/// Lets the peak start again from what is resident now; does nothing where the system does not allow it.
void reset_peak_resident();

}  // namespace tpsp
