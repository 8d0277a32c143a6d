// The device that a rank computes on: its name, its clock edge, its memory.
#pragma once

#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/core/memory_use.h"
#include "tpsp/machine/gpu_state.h"

namespace tpsp {

class DeviceProbe {
 public:
  virtual ~DeviceProbe() = default;

  /// Waits until all work given to the device is done.
  virtual void synchronize() = 0;
  /// Whether work is given to it and goes on by itself, as on CUDA.
  virtual bool is_asynchronous() const { return false; }
  /// Marks this moment of the work that is given to the device.
  virtual void mark();
  /// Seconds from the first mark to each of them, the first included; they are forgotten. Waits for the device.
  virtual std::vector<double> take_marks();
  /// A named part of the work, for the device's own profiler (NVTX on CUDA); they nest.
  virtual void open_range(const std::string&) {}
  virtual void close_range() noexcept {}
  /// Seconds of work after which its clocks have risen.
  virtual double warmup_s() const { return 0; }
  /// What a GPU says of itself now, right after work: an idle one lowers its clock.
  virtual std::optional<GpuState> gpu_state() const { return std::nullopt; }
  virtual void reset_peaks() = 0;
  /// Gives memory that is kept for reuse back to the system, so that no later peak holds an earlier phase's leftovers.
  virtual void release_unused() = 0;
  /// Frees what libraries keep as workspaces among the live tensors (cuBLAS on CUDA), and returns how much it was.
  virtual std::int64_t release_workspaces() { return 0; }
  /// Bytes of live tensors.
  virtual std::int64_t allocated_bytes() const = 0;
  /// Peak bytes of live tensors since the last reset.
  virtual std::int64_t peak_allocated_bytes() const = 0;
  /// That peak by use; nothing where the allocator does not track use (CUDA).
  virtual std::optional<MemorySplit> peak_split() const { return std::nullopt; }
  /// Peak bytes taken from the system: the caching allocator's on CUDA, the resident set on the CPU.
  virtual std::int64_t peak_reserved_bytes() const = 0;
  /// What the system says is in use now: the resident set; on CUDA all memory in use on the device, whoever's it is.
  virtual std::int64_t process_bytes() const = 0;
  /// Of these, what was not reserved for tensors: CUDA's context, kernels and NCCL. Nothing on the CPU.
  virtual std::optional<std::int64_t> context_bytes() const { return std::nullopt; }
  /// This rank's share of what is free on the device now. Collective.
  virtual std::int64_t available_bytes(World& world) const = 0;

 private:
  std::vector<std::chrono::steady_clock::time_point> marks_;  ///< of a device that is not asynchronous
};

/// The device that "auto", "cpu" or "cuda" means for this rank; GPUs are dealt out by local rank. Throws bad_input for
/// another name, and for cuda where this build or machine has none.
c10::Device choose_device(const std::string& name, const World& world);

/// "cpu" or "cuda": the same on all ranks, whichever GPU each has.
std::string device_kind(c10::Device device);

/// A CPU probe counts the tensors of the thread that makes it, see AllocationMeter.
std::unique_ptr<DeviceProbe> make_device_probe(c10::Device device);

/// The processor's or GPU's own name, "NVIDIA L40".
std::string device_name(c10::Device device);

/// "13.0" and "2.28.9", or empty in a build without CUDA.
std::string cuda_version();
std::string nccl_version();
/// GPUs that this process sees.
int cuda_device_count();

/// "Intel(R) Xeon(R) Processor", from /proc/cpuinfo.
std::string cpu_name();

}  // namespace tpsp
