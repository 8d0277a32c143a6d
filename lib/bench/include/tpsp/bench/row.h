// One measured case as plain values: what bench makes and report writes. Needs neither LibTorch nor MPI.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

/// Times are seconds, sizes bytes, counts per forward and rank. Memory is the maximum over the ranks of each rank's
/// peak. An empty optional is an empty cell: not measured.
struct Row {
  Status status = Status::ok;
  std::string run_id;

  // the case
  std::string model;
  std::int64_t layers = 0;
  std::string plan;
  std::int64_t batch = 0;
  std::int64_t seq = 0;
  std::int64_t seq_padded = 0;
  std::int64_t vocab_padded = 0;
  int world = 1;
  std::string dtype;
  std::string device;
  std::string backend;
  int threads = 1;
  std::uint64_t seed = 0;

  // the protocol
  int warmup = 0;
  int reps = 0;

  // latency: each repetition counts as its slowest rank
  std::optional<double> latency_s;
  std::optional<double> latency_min_s;
  std::optional<double> latency_max_s;
  std::optional<double> tokens_per_s;

  // memory
  std::optional<std::int64_t> allocated_bytes;
  std::optional<std::int64_t> reserved_bytes;
  std::int64_t weights_bytes = 0;

  // collectives
  std::optional<std::int64_t> all_reduces;
  std::optional<std::int64_t> all_gathers;
  std::optional<std::int64_t> reduce_scatters;
  std::optional<std::int64_t> comm_bytes;

  // numbers
  Check check = Check::off;
  std::optional<double> max_abs_err;
  std::optional<double> max_rel_err;

  // where and with what
  std::string host;
  std::string device_name;
  std::string version;
  std::string torch_version;
  std::string mpi_version;
  std::string cuda_version;
  std::string nccl_version;
  std::string utc_time;
  std::string message;  ///< why status is not ok
};

}  // namespace tpsp
