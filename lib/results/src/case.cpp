#include "tpsp/results/case.h"

#include <fmt/format.h>

#include "column_of.h"
#include "tpsp/results/case_fields.h"

namespace tpsp {
namespace {

constexpr bool once = false;
constexpr bool repeatable = true;
constexpr bool in_suite = true;
using enum Asked;

// clang-format off
std::vector<CaseField> all_fields() {
  return {
    {column_of<&Row::model>("model", "", "model configuration", "--model", brief),
        {{{forward, preview}, "model", "NAME|FILE", "", "model shapes (default: llama-7b with 2 layers)", "Case", once, in_suite}}},
    {count_of_model<&Row::layers>("layers", "", "transformer layers in the measured model", "--layers, else the model's own number", brief),
        {{{forward, preview}, "layers", "N", "", "layers instead of the model's own", "Case", once, in_suite}}},
    {column_of<&Row::plan>("plan", "", "parallel plan", "--plan, --tp, --sp", brief),
        {{{forward, preview}, "plan", "NAME|FILE", "", "tp, tp+sp or a plan file; repeatable (default: both)", "Case", repeatable, in_suite}}},
    {count_of_model<&Row::seq>("seq", "tokens", "tokens of one sequence", "--seq", brief),
        {{{forward, preview}, "seq", "LIST", "256,512,1024", "lengths, as 512 or 256..4096*2", "Case", repeatable, in_suite}}},
    {count_of_model<&Row::batch>("batch", "sequences", "sequences in one forward or training step", "--batch", brief),
        {{{forward, preview}, "batch", "N", "2", "sequences in a batch", "Case", once, in_suite}}},
    {column_of<&Row::workload>("workload", "", "train: a training step (forward, loss, backward, optimizer) was measured; empty for a forward, which has nothing in recompute ... shard either", "--workload", brief),
        {{{forward, preview}, "workload", "NAME", "forward", "forward, or train: a training step", "Case", once, in_suite}}},
    {column_of<&Row::recompute>("recompute", "", "what the backward computes again instead of finding it saved: none, attention (its core) or block (all of a block but its input)", "--recompute", brief),
        {{{forward, preview}, "recompute", "NAME", "none", "train: computed again in the backward: none,\nattention or block", "Case", once, in_suite}}},
    {column_of<&Row::regather>("regather", "", "on: a gathered input is saved as this rank's shard, and gathered again in the backward; off: it is kept whole", "--regather"),
        {{{forward, preview}, "regather", "on|off", "on", "train: gather sharded inputs again in the backward,\nor keep them", "Case", once, in_suite}}},
    {column_of<&Row::optimizer>("optimizer", "", "adamw: the step updates the weights; none: it ends with the gradients", "--optimizer"),
        {{{forward, preview}, "optimizer", "NAME", "none", "train: none or adamw", "Case", once, in_suite}}},
    {count_of_model<&Row::micro_batches>("micro_batches", "", "equal parts of the batch, whose gradients are accumulated one after the other", "--micro-batches"),
        {{{forward, preview}, "micro-batches", "N", "1", "train: the batch in so many parts", "Case", once, in_suite}}},
    {with_former(
        count_of_model<&Row::dp>("dp", "replicas", "data-parallel replicas, which share the batch; each has world / dp ranks, which share the model", "--dp"), {.absent = "1"}),
        {{{forward, preview}, "dp", "N", "1", "train: replicas that share the batch, of\nranks / N each", "Case", once, in_suite}}},
    {with_former(
        column_of<&Row::shard>("shard", "", "what is divided over the replicas, each with those before it: none, optimizer, gradients or parameters (stages 1 to 3 of ZeRO)", "--shard"), {.absent = "none"}),
        {{{forward, preview}, "shard", "NAME", "none", "train: divided over replicas: none, optimizer,\ngradients or parameters", "Case", once, in_suite}}},
    {with_former(
        column_of<&Row::collective>("collective", "", "the collective that was measured alone, all-gather-read (an all-gather, and every rank reads all of it) or fused-add-norm (reduce-scatter, residual sum and RMSNorm, all-gather: what TP+SP does between two sublayers); empty for a model's rows", "--op of tpsp-bench comm", brief), {.values = {{"seam", "fused-add-norm"}}}),
        {{{collective}, "op", "LIST", "all", "all-reduce, reduce-scatter, all-gather, fused-add-norm,\nall-gather-read (then every rank reads all of it)\n", "Case", repeatable}}},
    {column_of<&Row::message_bytes>("message_bytes", "bytes", "size of a collective's full buffer: what an all-gather makes, what a reduce-scatter takes", "--bytes of tpsp-bench comm, rounded down to what the ranks can share", brief),
        {{{collective}, "bytes", "LIST", "1024..33554432*4", "sizes of the full buffer, as 8M or 1K..32M*4\n", "Case", repeatable}}},
    {with_former(
        column_of<&Row::buffer>("buffer", "", "whose memory a collective reads and writes: user (any tensors) or registered (the transport's own memory, written and read in place)", "--buffer of tpsp-bench comm", brief), {.name = "placement", .values = {{"out", "user"}, {"in", "registered"}}}),
        {{{collective}, "buffer", "NAME", "both", "any memory (user), the transport's own (registered),\nor both", "Case"}}},
    {column_of<&Row::world>("world", "ranks", "ranks; of a training step those of all replicas", "mpirun or srun", brief),
        {{{preview}, "world", "T", "2", "ranks to preview", "Case", once, in_suite},
         {{forward}, "world", "N", "", "ranks: those that are started, or, of --backend\nnull, those of which one runs", "Case"}}},
    {column_of<&Row::rank>("rank", "", "the rank that ran alone, its collectives local moves (backend null); empty where all ranks ran", "--rank"),
        {{{forward}, "rank", "R", "", "null: the rank of --world that runs (default: 0)", "Case", once, in_suite}}},
    {column_of<&Row::dtype>("dtype", "", "number format of weights and activations", "--dtype", brief),
        {{{forward, preview}, "dtype", "TYPE", "fp32", "fp32 or bf16", "Case", once, in_suite},
         {{collective}, "dtype", "LIST", "fp32", "fp32, bf16", "Case", repeatable}}},
    {column_of<&Row::device>("device", "", "cpu or cuda", "--device"),
        {{{forward, collective}, "device", "NAME", "auto", "auto, cpu or cuda", "Machine", once, in_suite}}},
    {column_of<&Row::backend>("backend", "", "library that moves data between the ranks; of replicas that another one serves, that after it: shm+mpi", "--backend"),
        {{{forward}, "backend", "NAME", "auto", "auto, or one that tpsp-bench info lists", "Machine", once, in_suite},
         {{collective}, "backend", "LIST", "auto", "of those that tpsp-bench info lists; auto: the best,\nall: those that can serve", "Machine", repeatable}}},
    {column_of<&Row::threads>("threads", "threads", "compute threads of one rank", "--threads"),
        {{{forward, collective}, "threads", "N", "", "per rank (default: the rank's share of cores)", "Machine", once, in_suite}}},
    {column_of<&Row::seed>("seed", "", "seed of weights and inputs", "--seed"),
        {{{forward}, "seed", "N", "0", "of weights, tokens and order", "Case", once, in_suite},
         {{collective}, "seed", "N", "0", "of the order", "Case"}}},
    {column_of<&Row::model_shapes>("model_shapes", "", "everything that the model's configuration says", "--model, --layers", raw), {}},
    {column_of<&Row::plan_hash>("plan_hash", "", "hash of what the plan does to every module", "the plan file, applied to the model", raw), {}},
    {column_of<&Row::protocol>("protocol", "", "everything that was asked of the measurement", "the options under Protocol, and --gemm", raw), {}},
  };
}
// clang-format on

// What rows of one case differ in, which are set against each other.
bool is_compared(std::string_view name, const Case& one) {
  if (!one.collective.empty()) return name == "backend";
  return name == "plan" || name == "plan_hash";
}

std::string lines_of(const Case& one, bool compared) {
  Row row;
  static_cast<Case&>(row) = one;
  std::string lines;
  for (const auto& field : case_fields()) {
    const auto cell = case_text(field.column, row);
    const bool counts = compared || !is_compared(field.column.name, one);
    if (!cell.empty() && counts) lines += fmt::format("{} {}\n", field.column.name, cell);
  }
  return lines;
}

std::string hash_of_lines(const std::string& lines) { return hash_of(fmt::format("schema {}\n{}", row_schema, lines)); }

}  // namespace

const std::vector<CaseField>& case_fields() {
  static const auto fields = all_fields();
  return fields;
}

std::string hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

std::string text_of(const Case& one) { return lines_of(one, true); }

std::string case_id(const Case& one) { return hash_of_lines(lines_of(one, false)); }

Row row_of(const Case& one, const Provenance& run) {
  Row row;
  static_cast<Case&>(row) = one;
  static_cast<Provenance&>(row) = run;
  row.key = case_key(one);
  row.case_id = case_id(one);
  return row;
}

std::string case_key(const Case& one) { return hash_of_lines(lines_of(one, true)); }

}  // namespace tpsp
