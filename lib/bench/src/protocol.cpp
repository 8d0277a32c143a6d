#include "tpsp/bench/protocol.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace tpsp {
namespace {

double timed(const Workload& workload, World& world, DeviceProbe& probe) {
  probe.synchronize();
  world.barrier();
  const auto start = std::chrono::steady_clock::now();
  workload();
  probe.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void take_sample(const Workload& workload, Measurement& result, World& world, CountingCommunicator& comm,
                 DeviceProbe& probe) {
  comm.reset();
  probe.reset_peaks();
  result.samples_s.push_back(timed(workload, world, probe));
  result.counts = comm.counts();
  result.allocated_bytes = std::max(result.allocated_bytes, probe.peak_allocated_bytes());
  result.reserved_bytes = std::max(result.reserved_bytes, probe.peak_reserved_bytes());
}

// The slowest rank's time of each repetition, the largest rank's memory.
void combine_ranks(Measurement& mine, World& world) {
  auto values = mine.samples_s;
  values.push_back(static_cast<double>(mine.allocated_bytes));
  values.push_back(static_cast<double>(mine.reserved_bytes));
  values = max_over_ranks(world, values);
  mine.reserved_bytes = static_cast<std::int64_t>(values.back());
  values.pop_back();
  mine.allocated_bytes = static_cast<std::int64_t>(values.back());
  values.pop_back();
  mine.samples_s = std::move(values);
}

}  // namespace

std::vector<Measurement> measure(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                 CountingCommunicator& comm, DeviceProbe& probe) {
  for (int i = 0; i < protocol.warmup; ++i) {
    for (const auto& workload : workloads) workload();
  }
  std::vector<Measurement> results(workloads.size());
  for (int rep = 0; rep < protocol.reps; ++rep) {
    for (std::size_t i = 0; i < workloads.size(); ++i) take_sample(workloads[i], results[i], world, comm, probe);
  }
  for (auto& result : results) combine_ranks(result, world);
  return results;
}

double median(std::vector<double> samples) {
  if (samples.empty()) throw std::invalid_argument("the median of no samples");
  const auto half = samples.size() / 2;
  std::sort(samples.begin(), samples.end());
  return samples.size() % 2 == 1 ? samples[half] : (samples[half - 1] + samples[half]) / 2;
}

}  // namespace tpsp
