// One measured case as plain values: what bench makes and results files hold. Needs neither LibTorch nor MPI.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/results/case.h"

namespace tpsp {

enum class Status { ok, failed, out_of_memory, skipped };
enum class Check { pass, fail, off };

constexpr std::string_view to_string(Status status) {
  switch (status) {
    case Status::ok: return "ok";
    case Status::failed: return "failed";
    case Status::out_of_memory: return "out_of_memory";
    case Status::skipped: return "skipped";
  }
  return "unknown";
}

constexpr std::string_view to_string(Check check) {
  switch (check) {
    case Check::pass: return "pass";
    case Check::fail: return "fail";
    case Check::off: return "off";
  }
  return "unknown";
}

/// Something about a row that a person should know and can act on. `flag` is one word, such as "drifting".
struct Warning {
  std::string flag;
  std::string text;  ///< what was seen, and what to do

  bool operator==(const Warning&) const = default;
};

/// The version of the rows' meaning: it changes whenever a column's does.
inline constexpr std::int64_t row_schema = 3;

/// The oldest version that is read: its columns are this version's under other names.
inline constexpr std::int64_t oldest_row_schema = 2;

/// Where and with what rows were measured: the same for all rows of a job.
struct Provenance {
  std::string run_id;
  std::string suite;  ///< empty without one
  std::string host;
  std::string device_name;
  int cores = 0;
  std::string binding;  ///< "tpsp-bench", "launcher" or "none"; of hosts that differ, separated by +
  std::string cpus;     ///< of each rank, "0-3;4-7"
  std::int64_t memory_bytes = 0;
  std::string os;
  std::string version;
  std::string build;
  std::string torch_version;
  std::string mpi_version;
  std::string cuda_version;
  std::string nccl_version;
  std::string command;
  std::string environment;          ///< variables that change times, "NAME=value" separated by ;
  std::vector<Warning> warnings{};  ///< of the machine's set-up; a row adds those of its own measurement

  bool operator==(const Provenance&) const = default;
};

/// Times are seconds, sizes bytes, counts per forward (or training step, or call of a collective) and rank. Memory is
/// the maximum over the ranks. An empty optional is an empty cell: not measured. Each field is a column, which
/// docs/columns.md explains.
struct Row : Case, Provenance {
  std::int64_t schema = row_schema;
  Status status = Status::ok;
  std::string key;      ///< a hash of the case and its plan
  std::string case_id;  ///< a hash of the case alone: its rows, one a plan, are compared with each other

  std::int64_t seq_padded = 0;
  std::int64_t vocab_padded = 0;

  // the protocol
  std::string order;    ///< "random" where plans were interleaved, else "sequential"
  std::string turns;    ///< interleaved plans, "tp;tp+sp" (of a collective, the backends); empty for one measured alone
  std::string weights;  ///< "shared", "own" or "kept"
  int warmup = 0;       ///< taken
  int reps = 0;         ///< taken
  std::string stop;     ///< what ended the repetitions: "noise", "time" or "reps"
  std::optional<int> calls{};  ///< of a collective in one repetition, whose time is divided by them

  // latency: each repetition counts as its slowest rank
  std::optional<double> latency_s;  ///< median
  std::optional<double> latency_low_s;
  std::optional<double> latency_high_s;
  std::optional<double> latency_min_s;
  std::optional<double> latency_p10_s;
  std::optional<double> latency_p90_s;
  std::optional<double> latency_p99_s;
  std::optional<double> latency_max_s;
  std::optional<double> latency_mad_s;
  std::optional<double> latency_cv;
  std::optional<double> tokens_per_s;
  std::optional<double> forward_s{};  ///< of a training step, as the two that follow
  std::optional<double> backward_s{};
  std::optional<double> optimizer_s{};
  std::optional<double> predicted_s{};  ///< of a rank that ran alone, as the next
  std::string link{};                   ///< that its collectives are priced with
  std::optional<double> algbw_bytes_per_s{};
  std::optional<double> busbw_bytes_per_s{};

  // between the ranks
  std::optional<int> slowest_rank;
  std::string slowest_host;
  std::optional<double> rank_spread;

  // against the first plan of the same case
  std::string baseline;
  std::optional<double> ratio;
  std::optional<double> ratio_low;
  std::optional<double> ratio_high;
  std::string verdict;

  // where the time goes, in a pass of its own: the mean of the ranks
  std::optional<double> split_s;
  std::optional<double> gemm_s;
  std::optional<double> attention_s;
  std::optional<double> norm_s;
  std::optional<double> wait_s;
  std::optional<double> move_s;
  std::optional<double> fused_add_norm_s{};
  std::optional<double> other_s;

  // against what the machine can do
  std::string gemm{};        ///< kernels of the GEMMs, "mkl" or "mkl+plain"
  std::string gemm_cache{};  ///< the file that chosen kernels are kept in; empty for none
  std::string attention_kernel{};
  std::optional<double> product_flops{};
  std::optional<double> peak_flops_per_s{};
  std::optional<double> peak_bytes_per_s{};
  std::optional<double> gemm_fraction{};
  std::optional<double> limit_s{};
  std::optional<double> limit_fraction{};

  // the GPU while it was measured
  std::optional<double> gpu_clock_mhz{};
  std::optional<double> gpu_power_w{};
  std::optional<double> gpu_temperature_c{};
  std::string gpu_held_by{};  ///< "power-cap;thermal"

  // memory
  std::optional<std::int64_t> predicted_bytes;
  std::optional<std::int64_t> allocated_bytes;
  std::optional<std::int64_t> allocated_after_bytes;
  std::optional<std::int64_t> reserved_bytes;
  std::optional<std::int64_t> process_bytes;
  std::optional<std::int64_t> workspace_bytes{};  ///< CUDA alone, as the next
  std::optional<std::int64_t> context_bytes{};
  std::int64_t weights_bytes = 0;
  std::optional<std::int64_t> activations_bytes;
  std::optional<std::int64_t> logits_bytes;
  std::optional<std::int64_t> collective_bytes;
  std::optional<std::int64_t> resident_bytes;
  std::optional<std::int64_t> before_head_bytes;
  std::optional<std::int64_t> gradient_bytes{};  ///< of a training step, as all that follow
  std::optional<std::int64_t> optimizer_bytes{};
  std::optional<std::int64_t> saved_bytes{};          ///< when the forward ends
  std::optional<std::int64_t> saved_at_peak_bytes{};  ///< at the allocated peak
  std::optional<std::int64_t> recomputed_bytes{};     ///< at the allocated peak
  std::optional<std::int64_t> unit_bytes{};           ///< likewise; beside replicas

  // collectives
  std::optional<std::int64_t> all_reduces;
  std::optional<std::int64_t> all_gathers;
  std::optional<std::int64_t> reduce_scatters;
  std::optional<std::int64_t> comm_bytes;
  std::optional<std::int64_t> backward_all_reduces{};  ///< of a training step, from the loss on
  std::optional<std::int64_t> backward_all_gathers{};
  std::optional<std::int64_t> backward_reduce_scatters{};
  std::optional<std::int64_t> backward_comm_bytes{};
  std::optional<std::int64_t> dp_all_reduces{};  ///< of a training step over replicas, which the others do not count
  std::optional<std::int64_t> dp_all_gathers{};
  std::optional<std::int64_t> dp_reduce_scatters{};
  std::optional<std::int64_t> dp_comm_bytes{};

  // numbers
  Check check = Check::off;
  std::optional<double> max_abs_err;
  std::optional<double> max_rel_err;
  std::optional<double> error_bound{};  ///< of max_rel_err
  std::optional<double> loss{};         ///< of a training step, as what follows
  std::optional<double> loss_error{};
  std::string worst_gradient{};
  std::optional<double> weights_error{};  ///< after the optimizer
  std::optional<std::int64_t> wrong{};    ///< elements of a collective's results, over all ranks

  std::string utc_time;
  std::string message;  ///< why status is not ok

  // raw data, in JSON Lines only
  std::vector<double> samples_s;                    ///< one a repetition: its slowest rank
  std::vector<std::vector<double>> rank_samples_s;  ///< `[rank][repetition]`
  std::string plan_text;                            ///< the plan file as it was read

  bool operator==(const Row&) const = default;
};

/// A row of which nothing is known but what is to be measured, and where: with its key and case_id.
Row row_of(const Case& one, const Provenance& run);

}  // namespace tpsp
