// The main job: plans times sequence lengths over one model, measured, checked, a row each.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/bench/follower.h"
#include "tpsp/bench/gemm_choice.h"
#include "tpsp/bench/link.h"
#include "tpsp/bench/previews.h"
#include "tpsp/bench/protocol.h"
#include "tpsp/comm/mesh.h"
#include "tpsp/gemm/peaks.h"
#include "tpsp/models/architecture.h"
#include "tpsp/models/training_step.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/results/row.h"

namespace tpsp {

/// Whose weights a plan computes with.
enum class WeightPolicy {
  shared,  ///< plans that shard them alike share one set; otherwise one set is freed before the next is made
  own,     ///< every plan has its own, freed before the next is made
  kept,    ///< every plan has its own, and all stay until the end: what a script does that frees nothing
};
std::string_view to_string(WeightPolicy policy);

/// This rank's process groups.
struct Groups {
  Groups(ProcessGroup& all) : tp(all) {}
  Groups(ProcessGroup& of_tp, ProcessGroup& of_dp, const Mesh& of_both) : tp(of_tp), dp(&of_dp), mesh(&of_both) {}

  /// As the process groups' own, of all of them.
  bool can_interrupt() const { return tp.can_interrupt() && (dp == nullptr || dp->can_interrupt()); }
  void interrupt() const;
  void reset() const;

  ProcessGroup& tp;
  ProcessGroup* dp = nullptr;  ///< of a training step's replicas; null where there is one, as is
  const Mesh* mesh = nullptr;  ///< whose dimensions they are of
};

/// What moves data, for the rows: the backend of the plan's ranks, and that of the replicas where it is another,
/// "shm+mpi". A group of one rank moves nothing.
std::string backend_of(const Groups& groups);

struct Sweep {
  std::shared_ptr<const Architecture> model{};
  std::vector<LoweredPlan> plans;  ///< lowered for the ranks of one replica
  std::vector<std::int64_t> seqs;
  std::int64_t batch = 2;                  ///< of all replicas
  std::optional<StepSettings> training{};  ///< a training step is measured, with plain weights; without, a forward
  c10::ScalarType dtype = c10::kFloat;
  c10::Device device = c10::kCPU;
  Protocol protocol;
  WeightPolicy weights = WeightPolicy::shared;
  std::shared_ptr<Previews>
      previews{};  ///< of `model` and `plans`, on a transport as the backend's; made by the sweep where there are none
  GemmPolicy gemm = GemmPolicy::automatic;
  GemmChoice kernels{};  ///< of the weights, as choose_kernels made it of `gemm`
  bool check = true;
  bool profile = true;  ///< one more repetition, profiled, after the timed ones
  std::uint64_t seed = 0;
  std::shared_ptr<Peaks> peaks{};  ///< of the slowest rank, where they were measured; rows that exceed them raise them
  std::string backend{};           ///< as backend_of says, for the rows
  int threads = 1;                 ///< that a rank computes with, for the rows
  std::optional<int> rank{};       ///< of the plans' and replicas' that runs alone; nothing where all run
  std::optional<Link> link{};      ///< of that rank, which its collectives are priced with
  Provenance provenance{};         ///< of all rows

  int replicas() const { return training ? training->dp : 1; }
  /// Throws as replica_batch does.
  std::int64_t batch_of_replica() const { return replica_batch(batch, replicas()); }
};

/// One of the sweep's cases, as rows show it.
Case case_of(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq);

/// Measures every case and hands its row to `follower.row`. Plans that share weights are interleaved at each length. A
/// case is measured, then profiled, then compared with the reference. With WeightPolicy::kept the weights of plans
/// whose cases are all done are made too where a later plan is measured, so that its memory is that of a sweep in one
/// piece.
///
/// A case that its preview says will not fit in the memory that is free becomes a skipped row. Running out of memory
/// makes a row of that status and the sweep goes on: on one rank always; among several in the weights, and where the
/// process groups can be interrupted in a timed forward or training step. Otherwise it throws, since the others may be
/// waiting inside a collective. `world` are the ranks of all replicas. Collective.
void run_sweep(const Sweep& sweep, World& world, const Groups& groups, const Follower& follower);

}  // namespace tpsp
