// The main job: plans times sequence lengths over one model, measured, checked, a row each.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "tpsp/bench/protocol.h"
#include "tpsp/bench/row.h"
#include "tpsp/model/config.h"
#include "tpsp/parallel/lowering.h"

namespace tpsp {

struct Sweep {
  ModelConfig model;
  std::vector<LoweredPlan> plans;  ///< lowered for the world they run in
  std::vector<std::int64_t> seqs;
  std::int64_t batch = 2;
  c10::ScalarType dtype = c10::kFloat;
  c10::Device device = c10::kCPU;
  Protocol protocol;
  bool check = true;
  std::uint64_t seed = 0;
  Row prototype;  ///< what all rows share: host, device name, versions, threads
};

/// Measures every case and hands its row to `emit`, on every rank, as soon as it is known. Plans that cut the weights
/// alike share one set of them and take turns at each length; otherwise one set is freed before the next is made.
///
/// A case that its preview says will not fit in the memory that is free becomes a skipped row.
///
/// With checks on, a case's first forward is compared with the reference before anything is timed. On one rank,
/// running out of memory makes a row of that status and the sweep goes on; among several it throws, since the
/// others may be waiting inside a collective. Collective.
void run_sweep(const Sweep& sweep, World& world, Communicator& comm, const std::function<void(const Row&)>& emit);

}  // namespace tpsp
