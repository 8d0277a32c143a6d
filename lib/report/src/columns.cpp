#include "tpsp/report/columns.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <iterator>
#include <optional>

namespace tpsp {
namespace {

std::string text(const std::string& value) { return value; }
std::string text(Status value) { return std::string(to_string(value)); }
std::string text(Check value) { return std::string(to_string(value)); }
std::string text(int value) { return fmt::format("{}", value); }
std::string text(std::int64_t value) { return fmt::format("{}", value); }
std::string text(std::uint64_t value) { return fmt::format("{}", value); }
std::string text(double value) { return fmt::format("{:.9g}", value); }
template <typename Value>
std::string text(const std::optional<Value>& value) {
  return value ? text(*value) : std::string();
}

template <auto member>
std::string field(const Row& row) {
  return text(row.*member);
}

struct Entry {
  const char* name;
  const char* unit;
  const char* meaning;
  const char* source;
  std::string (*cell)(const Row&);
};

// clang-format off
constexpr std::array entries = {
    Entry{"status", "", "ok, failed, out_of_memory or skipped", "the check, and what became of the case", field<&Row::status>},
    Entry{"run_id", "", "the run that the row belongs to", "start time in UTC and four random digits, from rank 0", field<&Row::run_id>},
    Entry{"model", "", "model configuration", "--model", field<&Row::model>},
    Entry{"layers", "", "transformer layers in the measured model", "--layers, else the model's own number", field<&Row::layers>},
    Entry{"plan", "", "parallel plan", "--plan, --tp, --sp", field<&Row::plan>},
    Entry{"batch", "sequences", "sequences in one forward", "--batch", field<&Row::batch>},
    Entry{"seq", "tokens", "tokens of one sequence", "--seq", field<&Row::seq>},
    Entry{"seq_padded", "tokens", "tokens of one sequence as computed", "seq, rounded up where the plan splits the sequence", field<&Row::seq_padded>},
    Entry{"vocab_padded", "tokens", "vocabulary as computed", "the model's vocabulary, rounded up where the plan splits it", field<&Row::vocab_padded>},
    Entry{"world", "ranks", "ranks that share the model", "mpirun or srun", field<&Row::world>},
    Entry{"dtype", "", "number format of weights and activations", "--dtype", field<&Row::dtype>},
    Entry{"device", "", "cpu or cuda", "--device", field<&Row::device>},
    Entry{"backend", "", "library that moves data between the ranks", "--backend", field<&Row::backend>},
    Entry{"threads", "threads", "compute threads of one rank", "--threads", field<&Row::threads>},
    Entry{"seed", "", "seed of weights and inputs", "--seed", field<&Row::seed>},
    Entry{"warmup", "forwards", "forwards before the first measured one", "--warmup", field<&Row::warmup>},
    Entry{"reps", "forwards", "measured forwards", "--reps", field<&Row::reps>},
    Entry{"latency_s", "s", "time of one forward", "clock; slowest rank of each repetition, median of the repetitions", field<&Row::latency_s>},
    Entry{"latency_min_s", "s", "time of the fastest repetition", "clock; slowest rank of each repetition, minimum", field<&Row::latency_min_s>},
    Entry{"latency_max_s", "s", "time of the slowest repetition", "clock; slowest rank of each repetition, maximum", field<&Row::latency_max_s>},
    Entry{"tokens_per_s", "tokens/s", "throughput of all ranks together", "batch * seq / latency_s", field<&Row::tokens_per_s>},
    Entry{"allocated_bytes", "bytes", "peak memory held by tensors, weights included", "allocator; peak of each rank, maximum over the ranks", field<&Row::allocated_bytes>},
    Entry{"reserved_bytes", "bytes", "peak memory taken from the system", "CUDA: caching allocator; CPU: peak resident set; maximum over the ranks", field<&Row::reserved_bytes>},
    Entry{"weights_bytes", "bytes", "weights of one rank", "sizes of rank 0's slices, padding included", field<&Row::weights_bytes>},
    Entry{"all_reduces", "calls", "all-reduces of one forward", "counting communicator, one rank", field<&Row::all_reduces>},
    Entry{"all_gathers", "calls", "all-gathers of one forward", "counting communicator, one rank", field<&Row::all_gathers>},
    Entry{"reduce_scatters", "calls", "reduce-scatters of one forward", "counting communicator, one rank", field<&Row::reduce_scatters>},
    Entry{"comm_bytes", "bytes", "sent by one rank in the collectives of one forward", "counting communicator; of a whole buffer of t ranks, 2(t-1)/t for an all-reduce, (t-1)/t for the others", field<&Row::comm_bytes>},
    Entry{"check", "", "pass, fail or off", "logits compared with an unsharded reference, outside the timed part", field<&Row::check>},
    Entry{"max_abs_err", "", "largest difference of a logit from the reference", "the check", field<&Row::max_abs_err>},
    Entry{"max_rel_err", "", "largest difference over the largest logit of the reference", "the check", field<&Row::max_rel_err>},
    Entry{"host", "", "machines of the ranks, joined with +", "gethostname", field<&Row::host>},
    Entry{"device_name", "", "processor or GPU of rank 0", "CUDA runtime or /proc/cpuinfo", field<&Row::device_name>},
    Entry{"version", "", "version of tpsp-bench", "the build", field<&Row::version>},
    Entry{"torch_version", "", "version of LibTorch", "LibTorch", field<&Row::torch_version>},
    Entry{"mpi_version", "", "library and version of MPI", "MPI", field<&Row::mpi_version>},
    Entry{"cuda_version", "", "version of the CUDA runtime; empty without CUDA", "CUDA runtime", field<&Row::cuda_version>},
    Entry{"nccl_version", "", "version of NCCL; empty without CUDA", "NCCL", field<&Row::nccl_version>},
    Entry{"utc_time", "", "when the case began, in UTC", "clock of rank 0", field<&Row::utc_time>},
    Entry{"message", "", "why status is not ok", "the check, or what the case lacked", field<&Row::message>},
};
// clang-format on

std::string escaped(const std::string& value) {
  std::string result;
  for (const char c : value) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

}  // namespace

std::vector<Column> standard_columns() {
  std::vector<Column> columns;
  columns.reserve(entries.size());
  for (const Entry& entry : entries) {
    columns.push_back({entry.name, entry.unit, entry.meaning, entry.source, entry.cell});
  }
  return columns;
}

std::string markdown(const std::vector<Column>& columns) {
  std::string page =
      "# Output columns\n\n"
      "One row is one measured case. The columns of the CSV file, from left to right; an empty cell was not "
      "measured.\n\n"
      "This page is made from the table in `lib/report/src/columns.cpp`, and a test of `test_report` compares the "
      "two.\n"
      "After a change of that table, `TPSP_UPDATE_EXPECTED=1 test_report` writes this page anew.\n\n"
      "| column | unit | meaning | where the value comes from |\n"
      "|---|---|---|---|\n";
  for (const Column& column : columns) {
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} |\n", column.name, escaped(column.unit),
                   escaped(column.meaning), escaped(column.source));
  }
  return page;
}

}  // namespace tpsp
