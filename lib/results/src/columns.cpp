#include "tpsp/results/columns.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "column_of.h"
#include "tpsp/results/case_fields.h"
#include "values.h"

namespace tpsp {
namespace {

Column of(Subject subject, Column column) {
  column.subject = subject;
  return column;
}
// What was made of the case's settings, not measured.
Column setting(Column column) { return of(Subject::the_run, std::move(column)); }

// clang-format off
// What identifies a row, and what became of it.
std::vector<Column> identity() {
  return {
    Column{.name = "schema", .unit = "", .meaning = "version of the meaning of the columns", .source = "the program", .get = [](const Row& row) { return value_of(row.schema); }, .set = read_schema, .kind = Kind::integer, .subject = Subject::the_run},
    column_of<&Row::status>("status", "", "ok, failed, out_of_memory or skipped", "the check, and what became of the case", brief),
    column_of<&Row::key>("key", "", "hash of the case: equal where the same thing is measured", "everything that makes the case what it is", brief),
    column_of<&Row::case_id>("case_id", "", "hash of the case without its plan: rows that have it in common are compared with each other, where machine, build and versions are the same too", "as key"),
    column_of<&Row::run_id>("run_id", "", "the run that the row belongs to", "start time in UTC and four random digits, from rank 0"),
    column_of<&Row::suite>("suite", "", "the suite that the case belongs to; empty without one", "the suite's name"),
  };
}

// What was run, and how often.
std::vector<Column> protocol() {
  return {
    setting(count_of_model<&Row::seq_padded>("seq_padded", "tokens", "tokens of one sequence as computed", "seq, rounded up where the plan splits the sequence")),
    setting(count_of_model<&Row::vocab_padded>("vocab_padded", "tokens", "vocabulary as computed", "the model's vocabulary, rounded up where the plan splits it")),

    setting(column_of<&Row::order>("order", "", "random where plans (of a collective, backends) were interleaved, in a new random order for each repetition; else sequential", "the protocol")),
    setting(column_of<&Row::turns>("turns", "", "the plans (of a collective, the backends) whose repetitions were interleaved, separated by ;; empty for one that was measured alone", "the protocol, and which plans shard the weights the same way")),
    setting(column_of<&Row::weights>("weights", "", "shared with plans that have the same weight sharding, own (of this plan alone), or kept (its own, and those of earlier plans stay in memory)", "the protocol")),
    setting(column_of<&Row::warmup>("warmup", "repetitions", "forwards, training steps, or repetitions of a collective, before the first measured one", "--warmup")),
    setting(column_of<&Row::reps>("reps", "repetitions", "measured forwards, training steps, or repetitions of a collective", "--reps, or when the repetitions were ended")),
    column_of<&Row::stop>("stop", "", "what ended the repetitions: noise (the interval was narrow enough), time (it was used up) or reps (their number was reached)", "the protocol"),
    setting(column_of<&Row::calls>("calls", "calls", "calls of a collective in one repetition, which its time is divided by; empty for a forward", "as many as take 200 us, tried out before")),
  };
}

// How long it took, on which rank, and against the baseline.
std::vector<Column> times() {
  return {
    column_of<&Row::latency_s>("latency_s", "s", "time of one forward, one training step, or one call of a collective", "clock; slowest rank of each repetition, median of the repetitions", brief),
    column_of<&Row::latency_low_s>("latency_low_s", "s", "lower end of the 95% interval of latency_s", "order statistics of the repetitions; empty for fewer than six", brief),
    column_of<&Row::latency_high_s>("latency_high_s", "s", "upper end of the 95% interval of latency_s", "order statistics of the repetitions; empty for fewer than six", brief),
    column_of<&Row::latency_min_s>("latency_min_s", "s", "time of the fastest repetition", "clock; slowest rank of each repetition, minimum"),
    column_of<&Row::latency_p10_s>("latency_p10_s", "s", "time that one repetition in ten stays below", "clock; slowest rank of each repetition, 10th percentile"),
    column_of<&Row::latency_p90_s>("latency_p90_s", "s", "time that nine repetitions in ten stay below", "clock; slowest rank of each repetition, 90th percentile"),
    column_of<&Row::latency_p99_s>("latency_p99_s", "s", "time that 99 repetitions in 100 stay below", "clock; slowest rank of each repetition, 99th percentile"),
    column_of<&Row::latency_max_s>("latency_max_s", "s", "time of the slowest repetition", "clock; slowest rank of each repetition, maximum"),
    column_of<&Row::latency_mad_s>("latency_mad_s", "s", "median distance of a repetition from the median one", "clock; slowest rank of each repetition, median absolute deviation, not scaled"),
    column_of<&Row::latency_cv>("latency_cv", "", "coefficient of variation of the repetitions", "standard deviation over mean"),
    column_of<&Row::tokens_per_s>("tokens_per_s", "tokens/s", "throughput of all ranks together", "batch * seq / latency_s"),

    column_of<&Row::forward_s>("forward_s", "s", "of a training step, the forward up to the loss; all micro-batches", "clock; slowest rank of each repetition, median of the repetitions"),
    column_of<&Row::backward_s>("backward_s", "s", "of a training step, the backward, with the sum of gradients over the ranks", "as forward_s"),
    column_of<&Row::optimizer_s>("optimizer_s", "s", "of a training step, the optimizer; 0 without one", "as forward_s"),

    column_of<&Row::predicted_s>("predicted_s", "s", "of a rank that ran alone, its time with its collectives: predicted, not measured", "latency_s, and what link makes of the collectives' calls and bytes, one after the other and under nothing else"),
    setting(column_of<&Row::link>("link", "", "the cost model of collectives that predicted_s is made with; empty for none", "--link")),

    column_of<&Row::algbw_bytes_per_s>("algbw_bytes_per_s", "bytes/s", "algorithm bandwidth of a collective", "message_bytes / latency_s"),
    column_of<&Row::busbw_bytes_per_s>("busbw_bytes_per_s", "bytes/s", "bus bandwidth of a collective, which does not depend on the number of ranks where the transport is the limit", "algbw_bytes_per_s times 2(t-1)/t for t ranks in an all-reduce or fused-add-norm, (t-1)/t in the others", brief),

    column_of<&Row::slowest_rank>("slowest_rank", "", "the rank whose median time is largest", "clock; median of each rank's repetitions"),
    column_of<&Row::slowest_host>("slowest_host", "", "the machine of slowest_rank", "gethostname"),
    column_of<&Row::rank_spread>("rank_spread", "", "how far apart the ranks are: 0 when they are equally fast", "clock; (largest - smallest median of a rank) / largest"),

    column_of<&Row::baseline>("baseline", "", "the plan that this one is compared with: the first one measured of the same case; empty for that one itself; of a collective, the backend", "the order of the plans"),
    column_of<&Row::ratio>("ratio", "", "this plan's time over the baseline's: below 1 this plan is faster", "latencies; where plans were interleaved, repetition by repetition", brief),
    column_of<&Row::ratio_low>("ratio_low", "", "lower end of the 95% interval of ratio", "as ratio"),
    column_of<&Row::ratio_high>("ratio_high", "", "upper end of the 95% interval of ratio", "as ratio"),
    column_of<&Row::verdict>("verdict", "", "faster, same or slower than the baseline, or undecided (too few repetitions, or too noisy)", "where the interval of ratio lies: below 1, around it and within 10% of it, above it; of two runs, by a margin of 2%", brief),
  };
}

// Where one forward spent its time, and what the machine could have done.
std::vector<Column> profile_and_limits() {
  return {
    column_of<&Row::split_s>("split_s", "s", "time of the forward or training step that was split into the parts below", "one apart from the timed ones with a clock around each part; mean of the ranks"),
    column_of<&Row::gemm_s>("gemm_s", "s", "GEMMs with weights", "part of split_s"),
    column_of<&Row::attention_s>("attention_s", "s", "attention between the QKV and output projections", "part of split_s"),
    column_of<&Row::norm_s>("norm_s", "s", "RMSNorm with the residual sum before it, where they are not in seam_s", "part of split_s"),
    column_of<&Row::wait_s>("wait_s", "s", "collectives: waiting for the last rank to arrive", "part of split_s"),
    column_of<&Row::move_s>("move_s", "s", "collectives: moving and summing data", "part of split_s"),
    column_of<&Row::fused_add_norm_s>("seam_s", "s", "fused add-norm: reduction over the ranks, residual sum and RMSNorm in one pass over the peers' memory; 0 where the ranks do not share memory, or split the reduction among them (TP on more than two)", "part of split_s"),
    column_of<&Row::other_s>("other_s", "s", "everything else: embedding, rotary positions, activation function, loss, optimizer; the parts add up to split_s", "part of split_s"),

    column_of<&Row::gemm>("gemm", "", "kernels of the GEMMs: plain (at::mm), onednn-plain and onednn-jit on the weight as it is; amx, onednn and mkl (weights packed once); several separated by +", "--gemm; auto takes the fastest whose form is at most 0.5% larger than the plain one, of a training step, forward and backward, the fastest of those on the weight as it is"),
    column_of<&Row::gemm_cache>("gemm_cache", "", "the file that the kernels chosen by trying are read from and kept in; empty for none", "--gemm-cache"),
    column_of<&Row::attention_kernel>("attention_kernel", "", "what computes attention: onednn (two GEMMs of oneDNN with exponentials between them), or LibTorch's flash, efficient, cudnn or math; several separated by +", "what ran; LibTorch's by its own choice"),
    column_of<&Row::product_flops>("product_flops", "FLOP", "multiplications and additions of one rank's GEMMs with weights; of a training step also those of its backward, and what that computes again", "shapes of rank 0's GEMMs in the preview"),
    column_of<&Row::peak_flops_per_s>("peak_flops_per_s", "FLOP/s", "the best rate of a GEMM that a rank reached while all ranks measured", "measured at the start of the run and after every length, the highest until now; the slowest rank"),
    column_of<&Row::peak_bytes_per_s>("peak_bytes_per_s", "bytes/s", "the memory bandwidth that a rank reached while all ranks measured", "measured at the start of the run; the slowest rank"),
    column_of<&Row::gemm_fraction>("gemm_fraction", "", "rate of the GEMMs over the peak", "product_flops / gemm_s / peak_flops_per_s"),
    column_of<&Row::limit_s>("limit_s", "s", "time of a forward that did nothing but its arithmetic, at the peak; of a training step three times that, whatever is computed again", "(FLOP of a forward's GEMMs and causal attention) / peak_flops_per_s"),
    column_of<&Row::limit_fraction>("limit_fraction", "", "limit_s over the measured latency", "limit_s / latency_s"),

    column_of<&Row::gpu_clock_mhz>("gpu_clock_mhz", "MHz", "clock of the GPU's multiprocessors; of several GPUs the lowest; empty on CPUs", "NVML, after each timed repetition; median"),
    column_of<&Row::gpu_power_w>("gpu_power_w", "W", "power that the GPU draws; of several GPUs the highest", "NVML, after each timed repetition; mean"),
    column_of<&Row::gpu_temperature_c>("gpu_temperature_c", "C", "temperature of the hottest GPU", "NVML, after each timed repetition; highest"),
    column_of<&Row::gpu_held_by>("gpu_held_by", "", "what held a GPU's clock down: power-cap (its power limit), slowdown, sync-boost, thermal, thermal-hardware, power-brake; separated by ;", "NVML's clock event reasons, after each timed repetition"),
  };
}

std::vector<Column> memory() {
  return {
    column_of<&Row::predicted_bytes>("predicted_bytes", "bytes", "what allocated_bytes will be, predicted", "a forward or training step on tensors without storage", brief),
    column_of<&Row::allocated_bytes>("allocated_bytes", "bytes", "peak memory held by tensors, weights included", "allocator; peak of each rank, maximum over the ranks; CUDA: in one forward or training step apart from the timed ones", brief),
    column_of<&Row::allocated_after_bytes>("allocated_after_bytes", "bytes", "memory held by tensors after the last repetition", "allocator; maximum over the ranks"),
    column_of<&Row::reserved_bytes>("reserved_bytes", "bytes", "peak memory taken from the system", "CUDA: caching allocator, as allocated_bytes after its unused memory is freed, so that plans do not share it; CPU: peak resident set; maximum over the ranks", brief),
    column_of<&Row::process_bytes>("process_bytes", "bytes", "memory in use after the last repetition", "CPU: resident set of the process; CUDA: memory used on the device by all processes; maximum over the ranks"),
    column_of<&Row::workspace_bytes>("workspace_bytes", "bytes", "what cuBLAS keeps as workspaces, which allocated_bytes does not count; empty on CPUs", "allocator, before and after they are freed; maximum over the ranks"),
    column_of<&Row::context_bytes>("context_bytes", "bytes", "used on the GPU beside reserved memory: CUDA's context, kernels, NCCL, and other processes; empty on CPUs", "CUDA runtime, after the forward or training step that memory is read from; maximum over the ranks"),
    count_of_model<&Row::weights_bytes>("weights_bytes", "bytes", "weights of one rank; live all the time", "sizes of rank 0's slices, padding included"),
    column_of<&Row::activations_bytes>("activations_bytes", "bytes", "activations that live at the allocated peak", "CPU: allocator, by what each tensor is for; in the forward that was split; with weights_bytes, logits_bytes, collective_bytes and resident_bytes (of a training step also gradient_bytes, optimizer_bytes, saved_at_peak_bytes, recomputed_bytes and unit_bytes) it adds up to allocated_bytes; empty on CUDA and without --profile"),
    column_of<&Row::logits_bytes>("logits_bytes", "bytes", "logits that live at the allocated peak", "as activations_bytes"),
    column_of<&Row::collective_bytes>("collective_bytes", "bytes", "buffers of collectives that live at the allocated peak", "as activations_bytes"),
    column_of<&Row::resident_bytes>("resident_bytes", "bytes", "tensors of others that live at the allocated peak, such as an earlier plan's model that was kept", "as activations_bytes"),
    column_of<&Row::before_head_bytes>("before_head_bytes", "bytes", "peak above the weights before the head (output projection) runs", "allocator; maximum over the ranks"),
    column_of<&Row::gradient_bytes>("gradient_bytes", "bytes", "gradients of one rank's weights; live all the time", "sizes of rank 0's slices, padding included; norms' in fp32"),
    column_of<&Row::optimizer_bytes>("optimizer_bytes", "bytes", "AdamW's moments and, of weights that are not fp32, master copies; live all the time", "sizes of rank 0's slices, padding included"),
    column_of<&Row::saved_bytes>("saved_bytes", "bytes", "what a training step's forward keeps for its backward, the logits' gradient included", "the tensors on the stack of saved values when the forward ends, each once; maximum over the ranks", brief),
    column_of<&Row::saved_at_peak_bytes>("saved_at_peak_bytes", "bytes", "what of it lives at the allocated peak, without the logits' gradient (logits_bytes) and what lies in memory that ranks share (collective_bytes)", "as activations_bytes"),
    column_of<&Row::recomputed_bytes>("recomputed_bytes", "bytes", "what the backward has computed again and holds at the allocated peak", "as activations_bytes"),
    column_of<&Row::unit_bytes>("unit_bytes", "bytes", "beside replicas, whole weights and gradients of the unit at work (a block, or what comes before or after all of them) that live at the allocated peak, where a rank keeps its part of them (shard)", "as activations_bytes"),
  };
}

std::vector<Column> collectives_and_check() {
  return {
    column_of<&Row::all_reduces>("all_reduces", "calls", "all-reduces of one forward or training step", "events of redistribute, one rank"),
    column_of<&Row::all_gathers>("all_gathers", "calls", "all-gathers of one forward or training step", "events of redistribute, one rank"),
    column_of<&Row::reduce_scatters>("reduce_scatters", "calls", "reduce-scatters of one forward or training step", "events of redistribute, one rank"),
    column_of<&Row::comm_bytes>("comm_bytes", "bytes", "sent by one rank in the collectives of one forward or training step", "events of redistribute; of a full buffer of t ranks, 2(t-1)/t for an all-reduce, (t-1)/t for the others", brief),

    column_of<&Row::backward_all_reduces>("backward_all_reduces", "calls", "of all_reduces, those of the backward and of the sum of gradients over the ranks", "events of redistribute, one rank"),
    column_of<&Row::backward_all_gathers>("backward_all_gathers", "calls", "likewise of all_gathers", "events of redistribute, one rank"),
    column_of<&Row::backward_reduce_scatters>("backward_reduce_scatters", "calls", "likewise of reduce_scatters", "events of redistribute, one rank"),
    column_of<&Row::backward_comm_bytes>("backward_comm_bytes", "bytes", "likewise of comm_bytes", "events of redistribute, one rank"),
    column_of<&Row::dp_all_reduces>("dp_all_reduces", "calls", "all-reduces of one training step over replicas, which all_reduces does not count: of gradients and the loss; empty without replicas", "events, one rank"),
    column_of<&Row::dp_all_gathers>("dp_all_gathers", "calls", "likewise all-gathers: of weights", "events, one rank"),
    column_of<&Row::dp_reduce_scatters>("dp_reduce_scatters", "calls", "likewise reduce-scatters: of gradients", "events, one rank"),
    column_of<&Row::dp_comm_bytes>("dp_comm_bytes", "bytes", "sent by one rank to other replicas in one training step", "as comm_bytes"),

    column_of<&Row::check>("check", "", "pass, fail or off", "logits (of a training step loss, gradients and updated weights) compared with an unsharded reference, outside the timed part; of a collective, wrong is 0", brief),
    column_of<&Row::max_abs_err>("max_abs_err", "", "largest difference of a logit (of a training step, an element of a gradient) from the reference", "the check"),
    column_of<&Row::max_rel_err>("max_rel_err", "", "largest difference over the largest logit of the reference; of a training step, the largest of all gradients, each over its tensor's largest value, which counts as a thousandth of the largest of all at least", "the check"),
    column_of<&Row::error_bound>("error_bound", "", "the largest max_rel_err that passes the check: twice the root mean square of what rounding makes; of a training step twice that, and for loss_error and weights_error too", "dtype, sizes, layers and ranks: see docs/method.md"),
    column_of<&Row::loss>("loss", "", "loss of a training step with the initial weights: mean cross-entropy of the next token; with --check off that of the last timed step", "the check"),
    column_of<&Row::loss_error>("loss_error", "", "difference of the loss from the reference's, over that", "the check"),
    column_of<&Row::worst_gradient>("worst_gradient", "", "the module whose gradient has max_rel_err", "the check"),
    column_of<&Row::weights_error>("weights_error", "", "largest difference of a weight that the optimizer has updated, over its tensor's largest value", "the check, one step of AdamW at a learning rate of 1"),
    column_of<&Row::wrong>("wrong", "elements", "elements of a collective's results that are not what they must be, over all ranks", "two checked calls, one before the timed ones and one after", brief),
  };
}

// Where, with what and when it was measured.
std::vector<Column> provenance() {
  return {
    column_of<&Row::host>("host", "", "machines of the ranks, separated by +", "gethostname"),
    column_of<&Row::device_name>("device_name", "", "processor or GPU of rank 0", "CUDA runtime or /proc/cpuinfo"),
    column_of<&Row::cores>("cores", "", "processors of rank 0's machine", "the system"),
    column_of<&Row::binding>("binding", "", "who gave each rank cores of its own: tpsp-bench, launcher (before it started) or none; of machines that differ, separated by +", "--bind"),
    column_of<&Row::cpus>("cpus", "", "processors that the ranks may run on, rank by rank, separated by ;", "the system"),
    column_of<&Row::memory_bytes>("memory_bytes", "bytes", "memory of rank 0's machine", "the system"),
    column_of<&Row::os>("os", "", "operating system and kernel of rank 0", "the system"),
    column_of<&Row::version>("version", "", "version of tpsp-bench, the last commit that touched its sources, and a hash of changes since, if there are any", "the build"),
    column_of<&Row::build>("build", "", "how tpsp-bench was compiled", "the build"),
    column_of<&Row::torch_version>("torch_version", "", "version of LibTorch", "LibTorch"),
    column_of<&Row::mpi_version>("mpi_version", "", "library and version of MPI", "MPI"),
    column_of<&Row::cuda_version>("cuda_version", "", "version of the CUDA runtime; empty without CUDA", "CUDA runtime"),
    column_of<&Row::nccl_version>("nccl_version", "", "version of NCCL; empty without CUDA", "NCCL"),
    column_of<&Row::command>("command", "", "the command line of the run", "rank 0"),
    column_of<&Row::environment>("environment", "", "variables of the environment that change times (OMP_*, MKL_*, MALLOC_*, NCCL_*, TPSP_* and the like), separated by ;", "rank 0"),
    column_of<&Row::utc_time>("utc_time", "", "when the case began, in UTC", "clock of rank 0"),
    of(Subject::measurement, column_of<&Row::warnings>("warnings", "", "what may have disturbed the measurement: flags separated by ;", "the samples, and the system's counters on all machines", brief)),
    column_of<&Row::message>("message", "", "why status is not ok", "the check, or what the case lacked"),
  };
}

// Lists and texts, in JSON Lines alone.
std::vector<Column> raw_data() {
  return {
    column_of<&Row::samples_s>("samples_s", "s", "every repetition, in the order of time", "clock; slowest rank of each repetition", raw),
    column_of<&Row::rank_samples_s>("rank_samples_s", "s", "every repetition of every rank, a list for each rank", "clock", raw),
    column_of<&Row::plan_text>("plan_text", "", "the plan file", "as it was read", raw),
    Column{.name = "warning_texts", .unit = "", .meaning = "the texts of warnings, in the same order", .source = "as warnings", .get = warning_texts, .set = read_warning_texts, .detail = raw, .kind = Kind::words},
  };
}
// clang-format on

}  // namespace

std::vector<Column> standard_columns() {
  auto columns = identity();
  for (const CaseField& field : case_fields()) columns.push_back(field.column);
  for (const auto& group :
       {protocol(), times(), profile_and_limits(), memory(), collectives_and_check(), provenance(), raw_data()}) {
    std::ranges::copy(group, std::back_inserter(columns));
  }
  return columns;
}

}  // namespace tpsp
