#include "tpsp/report/columns.h"

#include <array>
#include <concepts>

#include "values.h"

namespace tpsp {
namespace {

struct Entry {
  const char* name;
  const char* unit;
  const char* meaning;
  const char* source;
  Detail detail;
  Kind kind;
  Value (*get)(const Row&);
  void (*set)(Row&, const Value&);
};

template <typename Field>
constexpr Kind kind = std::integral<Field>         ? Kind::integer
                      : std::floating_point<Field> ? Kind::number
                                                   : Kind::text;
template <typename Field>
constexpr Kind kind<std::optional<Field>> = kind<Field>;
template <typename Element>
constexpr Kind kind<std::vector<Element>> = Kind::list;
template <>
constexpr Kind kind<std::vector<Warning>> = Kind::words;
template <typename Field>
constexpr Kind kind_of(Field Row::*) {
  return kind<Field>;
}

template <auto Member>
constexpr Entry field(const char* name, const char* unit, const char* meaning, const char* source,
                      Detail detail = Detail::full) {
  return {name,
          unit,
          meaning,
          source,
          detail,
          kind_of(Member),
          [](const Row& row) { return value_of(row.*Member); },
          [](Row& row, const Value& value) { read(value, row.*Member); }};
}

// A count that only a model has: 0 is an empty cell.
template <auto Member>
constexpr Entry of_model(const char* name, const char* unit, const char* meaning, const char* source,
                         Detail detail = Detail::full) {
  Entry entry = field<Member>(name, unit, meaning, source, detail);
  entry.get = [](const Row& row) { return row.*Member == 0 ? Value() : value_of(row.*Member); };
  entry.set = [](Row& row, const Value& value) {
    row.*Member = 0;
    if (!std::holds_alternative<std::monostate>(value)) read(value, row.*Member);
  };
  return entry;
}

constexpr auto brief = Detail::brief;
constexpr auto raw = Detail::raw;

// clang-format off
constexpr std::array entries = {
    Entry{"schema", "", "version of the meaning of the columns", "the program", Detail::full, Kind::integer, [](const Row& row) { return value_of(row.schema); }, read_schema},
    field<&Row::status>("status", "", "ok, failed, out_of_memory or skipped", "the check, and what became of the case", brief),
    field<&Row::key>("key", "", "hash of the case: equal where the same thing is measured", "everything that makes the case what it is", brief),
    field<&Row::case_id>("case_id", "", "hash of the case without its plan: rows that have it in common are compared with each other, where machine, build and versions are the same too", "as key"),
    field<&Row::run_id>("run_id", "", "the run that the row belongs to", "start time in UTC and four random digits, from rank 0"),
    field<&Row::suite>("suite", "", "the suite that the case belongs to; empty without one", "the suite's name"),

    field<&Row::model>("model", "", "model configuration", "--model", brief),
    of_model<&Row::layers>("layers", "", "transformer layers in the measured model", "--layers, else the model's own number", brief),
    field<&Row::plan>("plan", "", "parallel plan", "--plan, --tp, --sp", brief),
    of_model<&Row::batch>("batch", "sequences", "sequences in one forward", "--batch", brief),
    of_model<&Row::seq>("seq", "tokens", "tokens of one sequence", "--seq", brief),
    of_model<&Row::seq_padded>("seq_padded", "tokens", "tokens of one sequence as computed", "seq, rounded up where the plan splits the sequence"),
    of_model<&Row::vocab_padded>("vocab_padded", "tokens", "vocabulary as computed", "the model's vocabulary, rounded up where the plan splits it"),
    field<&Row::collective>("collective", "", "the collective that was measured alone, or seam (reduce-scatter, residual sum and norm, all-gather); empty for a forward", "--op of tpsp-bench comm", brief),
    field<&Row::message_bytes>("message_bytes", "bytes", "size of a collective's whole buffer: what an all-gather makes, what a reduce-scatter takes", "--bytes of tpsp-bench comm, rounded down to what the ranks can share", brief),
    field<&Row::placement>("placement", "", "where a collective's buffers lie: out (tensors of the caller's own, as any caller has) or in (the transport's memory, written and read in place)", "--placement of tpsp-bench comm", brief),
    field<&Row::world>("world", "ranks", "ranks that share the model", "mpirun or srun", brief),
    field<&Row::dtype>("dtype", "", "number format of weights and activations", "--dtype", brief),
    field<&Row::device>("device", "", "cpu or cuda", "--device"),
    field<&Row::backend>("backend", "", "library that moves data between the ranks", "--backend"),
    field<&Row::threads>("threads", "threads", "compute threads of one rank", "--threads"),
    field<&Row::seed>("seed", "", "seed of weights and inputs", "--seed"),

    field<&Row::order>("order", "", "random where plans (of a collective, backends) took turns, in an order drawn anew each round; else sequential", "the protocol"),
    field<&Row::turns>("turns", "", "the plans (of a collective, the backends) that took turns, joined with ;; empty for one that was measured alone", "the protocol, and which plans cut the weights alike"),
    field<&Row::weights>("weights", "", "shared with plans that cut them alike, own (of this plan alone), or kept (its own, and those of earlier plans stay in memory)", "the protocol"),
    field<&Row::warmup>("warmup", "forwards", "forwards, or repetitions of a collective, before the first measured one", "--warmup"),
    field<&Row::reps>("reps", "forwards", "measured forwards, or repetitions of a collective", "--reps, or when the repetitions were ended"),
    field<&Row::stop>("stop", "", "what ended the repetitions: noise (the interval was narrow enough), time (it was used up) or reps (their number was reached)", "the protocol"),
    field<&Row::calls>("calls", "calls", "calls of a collective in one repetition, which its time is divided by; empty for a forward", "as many as take 200 us, tried out before"),

    field<&Row::latency_s>("latency_s", "s", "time of one forward, or one call of a collective", "clock; slowest rank of each repetition, median of the repetitions", brief),
    field<&Row::latency_low_s>("latency_low_s", "s", "lower end of the 95% interval of latency_s", "order statistics of the repetitions; empty for fewer than six", brief),
    field<&Row::latency_high_s>("latency_high_s", "s", "upper end of the 95% interval of latency_s", "order statistics of the repetitions; empty for fewer than six", brief),
    field<&Row::latency_min_s>("latency_min_s", "s", "time of the fastest repetition", "clock; slowest rank of each repetition, minimum"),
    field<&Row::latency_p10_s>("latency_p10_s", "s", "time that one repetition in ten stays below", "clock; slowest rank of each repetition, 10th percentile"),
    field<&Row::latency_p90_s>("latency_p90_s", "s", "time that nine repetitions in ten stay below", "clock; slowest rank of each repetition, 90th percentile"),
    field<&Row::latency_p99_s>("latency_p99_s", "s", "time that 99 repetitions in 100 stay below", "clock; slowest rank of each repetition, 99th percentile"),
    field<&Row::latency_max_s>("latency_max_s", "s", "time of the slowest repetition", "clock; slowest rank of each repetition, maximum"),
    field<&Row::latency_mad_s>("latency_mad_s", "s", "median distance of a repetition from the median one", "clock; slowest rank of each repetition, median absolute deviation, not scaled"),
    field<&Row::latency_cv>("latency_cv", "", "coefficient of variation of the repetitions", "standard deviation over mean"),
    field<&Row::tokens_per_s>("tokens_per_s", "tokens/s", "throughput of all ranks together", "batch * seq / latency_s"),

    field<&Row::algbw_bytes_per_s>("algbw_bytes_per_s", "bytes/s", "algorithm bandwidth of a collective", "message_bytes / latency_s"),
    field<&Row::busbw_bytes_per_s>("busbw_bytes_per_s", "bytes/s", "bus bandwidth of a collective, which does not depend on the number of ranks where the transport is the limit", "algbw_bytes_per_s times 2(t-1)/t for t ranks in an all-reduce or seam, (t-1)/t in the others", brief),

    field<&Row::slowest_rank>("slowest_rank", "", "the rank whose median time is largest", "clock; median of each rank's repetitions"),
    field<&Row::slowest_host>("slowest_host", "", "the machine of slowest_rank", "gethostname"),
    field<&Row::rank_spread>("rank_spread", "", "how far apart the ranks are: 0 when they are equally fast", "clock; (largest - smallest median of a rank) / largest"),

    field<&Row::baseline>("baseline", "", "the plan that this one is compared with: the first one measured of the same case; empty for that one itself; of a collective, the backend", "the order of the plans"),
    field<&Row::ratio>("ratio", "", "this plan's time over the baseline's", "latencies; where plans took turns, repetition by repetition", brief),
    field<&Row::ratio_low>("ratio_low", "", "lower end of the 95% interval of ratio", "as ratio"),
    field<&Row::ratio_high>("ratio_high", "", "upper end of the 95% interval of ratio", "as ratio"),
    field<&Row::verdict>("verdict", "", "faster, same or slower than the baseline, or undecided (too few repetitions, or too noisy)", "where the interval of ratio lies: below 1, around it and within 10% of it, above it; of two runs, by a margin of 2%", brief),

    field<&Row::split_s>("split_s", "s", "time of the forward that was split into the parts below", "one forward apart from the timed ones with a clock around each part; mean of the ranks"),
    field<&Row::gemm_s>("gemm_s", "s", "matrix products with weights", "part of split_s"),
    field<&Row::attention_s>("attention_s", "s", "attention between the products", "part of split_s"),
    field<&Row::norm_s>("norm_s", "s", "RMSNorm with the residual sum before it, where they are not in seam_s", "part of split_s"),
    field<&Row::wait_s>("wait_s", "s", "collectives: waiting for the last rank to arrive", "part of split_s"),
    field<&Row::move_s>("move_s", "s", "collectives: moving and summing data", "part of split_s"),
    field<&Row::seam_s>("seam_s", "s", "the sum over the ranks, residual sum and norm in one pass over the peers' memory; 0 where the ranks do not share memory, or share the summing (TP on more than two)", "part of split_s"),
    field<&Row::other_s>("other_s", "s", "everything else: embedding, rotary positions, activation function; the parts add up to split_s", "part of split_s"),

    field<&Row::gemm>("gemm", "", "kernels of the matrix products: plain (at::mm), onednn and mkl (weights packed once); several joined with +", "--gemm; auto leaves plain for a kernel that is 3% faster and whose form is no larger"),
    field<&Row::product_flops>("product_flops", "FLOP", "multiplications and additions of one rank's matrix products with weights", "shapes of the products that rank 0 makes in the preview"),
    field<&Row::peak_flops_per_s>("peak_flops_per_s", "FLOP/s", "the best rate of a matrix product that a rank reached while all ranks tried", "measured at the start of the run, and raised by faster rows before this one or interleaved with it; the slowest rank"),
    field<&Row::peak_bytes_per_s>("peak_bytes_per_s", "bytes/s", "the memory bandwidth that a rank reached while all ranks tried", "measured at the start of the run; the slowest rank"),
    field<&Row::gemm_fraction>("gemm_fraction", "", "how near the matrix products come to the peak", "product_flops / gemm_s / peak_flops_per_s"),
    field<&Row::limit_s>("limit_s", "s", "time of a forward that did nothing but its arithmetic, at the peak", "(product_flops + causal attention's) / peak_flops_per_s"),
    field<&Row::limit_fraction>("limit_fraction", "", "how near the forward comes to that limit", "limit_s / latency_s"),

    field<&Row::predicted_bytes>("predicted_bytes", "bytes", "weights and peak activations, predicted", "a forward on tensors without storage", brief),
    field<&Row::allocated_bytes>("allocated_bytes", "bytes", "peak memory held by tensors, weights included", "allocator; peak of each rank, maximum over the ranks", brief),
    field<&Row::allocated_after_bytes>("allocated_after_bytes", "bytes", "memory held by tensors after the forward", "allocator; maximum over the ranks"),
    field<&Row::reserved_bytes>("reserved_bytes", "bytes", "peak memory taken from the system", "CUDA: caching allocator; CPU: peak resident set; maximum over the ranks", brief),
    field<&Row::process_bytes>("process_bytes", "bytes", "memory in use after the last repetition", "CPU: resident set of the process; CUDA: memory used on the device by all processes; maximum over the ranks"),
    of_model<&Row::weights_bytes>("weights_bytes", "bytes", "weights of one rank; live all the time", "sizes of rank 0's slices, padding included"),
    field<&Row::activations_bytes>("activations_bytes", "bytes", "activations that live at the allocated peak", "CPU: allocator, by what each tensor is for; in the forward that was split; with weights_bytes, logits_bytes, collective_bytes and resident_bytes it adds up to allocated_bytes; empty on CUDA and without --profile"),
    field<&Row::logits_bytes>("logits_bytes", "bytes", "logits that live at the allocated peak", "as activations_bytes"),
    field<&Row::collective_bytes>("collective_bytes", "bytes", "buffers of collectives that live at the allocated peak", "as activations_bytes"),
    field<&Row::resident_bytes>("resident_bytes", "bytes", "tensors of others that live at the allocated peak, such as an earlier plan's model that was kept", "as activations_bytes"),
    field<&Row::before_head_bytes>("before_head_bytes", "bytes", "peak above the weights before the head (output projection) runs", "allocator; maximum over the ranks"),

    field<&Row::all_reduces>("all_reduces", "calls", "all-reduces of one forward", "counting communicator, one rank"),
    field<&Row::all_gathers>("all_gathers", "calls", "all-gathers of one forward", "counting communicator, one rank"),
    field<&Row::reduce_scatters>("reduce_scatters", "calls", "reduce-scatters of one forward", "counting communicator, one rank"),
    field<&Row::comm_bytes>("comm_bytes", "bytes", "sent by one rank in the collectives of one forward", "counting communicator; of a whole buffer of t ranks, 2(t-1)/t for an all-reduce, (t-1)/t for the others", brief),

    field<&Row::check>("check", "", "pass, fail or off", "logits compared with an unsharded reference, outside the timed part; of a collective, wrong is 0", brief),
    field<&Row::max_abs_err>("max_abs_err", "", "largest difference of a logit from the reference", "the check"),
    field<&Row::max_rel_err>("max_rel_err", "", "largest difference over the largest logit of the reference", "the check"),
    field<&Row::error_bound>("error_bound", "", "the largest max_rel_err that passes the check: twice the root mean square of what rounding makes", "dtype, sizes, layers and ranks: see docs/method.md"),
    field<&Row::wrong>("wrong", "elements", "elements of a collective's results that are not what they must be, over all ranks", "two checked calls, one before the timed ones and one after", brief),

    field<&Row::host>("host", "", "machines of the ranks, joined with +", "gethostname"),
    field<&Row::device_name>("device_name", "", "processor or GPU of rank 0", "CUDA runtime or /proc/cpuinfo"),
    field<&Row::cores>("cores", "", "processors of rank 0's machine", "the system"),
    field<&Row::binding>("binding", "", "who gave each rank cores of its own: tpsp-bench, launcher (before it started) or none; of machines that differ, joined with +", "--bind"),
    field<&Row::cpus>("cpus", "", "processors that the ranks may run on, rank by rank, joined with ;", "the system"),
    field<&Row::memory_bytes>("memory_bytes", "bytes", "memory of rank 0's machine", "the system"),
    field<&Row::os>("os", "", "operating system and kernel of rank 0", "the system"),
    field<&Row::version>("version", "", "version of tpsp-bench, the last commit that touched its sources, and a hash of changes since, if there are any", "the build"),
    field<&Row::build>("build", "", "how tpsp-bench was compiled", "the build"),
    field<&Row::torch_version>("torch_version", "", "version of LibTorch", "LibTorch"),
    field<&Row::mpi_version>("mpi_version", "", "library and version of MPI", "MPI"),
    field<&Row::cuda_version>("cuda_version", "", "version of the CUDA runtime; empty without CUDA", "CUDA runtime"),
    field<&Row::nccl_version>("nccl_version", "", "version of NCCL; empty without CUDA", "NCCL"),
    field<&Row::command>("command", "", "the command line of the run", "rank 0"),
    field<&Row::utc_time>("utc_time", "", "when the case began, in UTC", "clock of rank 0"),
    field<&Row::warnings>("warnings", "", "what may have disturbed the measurement: flags joined with ;", "the samples, and the system's counters on all machines", brief),
    field<&Row::message>("message", "", "why status is not ok", "the check, or what the case lacked"),

    field<&Row::samples_s>("samples_s", "s", "every repetition, in the order of time", "clock; slowest rank of each repetition", raw),
    field<&Row::rank_samples_s>("rank_samples_s", "s", "every repetition of every rank, a list for each rank", "clock", raw),
    field<&Row::plan_text>("plan_text", "", "the plan file", "as it was read", raw),
    Entry{"warning_texts", "", "the texts of warnings, in the same order", "as warnings", raw, Kind::words, warning_texts, read_warning_texts},
};
// clang-format on

}  // namespace

std::vector<Column> standard_columns() {
  std::vector<Column> columns;
  columns.reserve(entries.size());
  for (const Entry& entry : entries) {
    columns.push_back(
        {entry.name, entry.unit, entry.meaning, entry.source, entry.get, entry.set, entry.detail, entry.kind});
  }
  return columns;
}

}  // namespace tpsp
