#include <fmt/format.h>

#include "settings.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

const std::vector<OptionSpec>& option_table() {
  using enum Command;
  constexpr bool repeatable = true;
  constexpr bool once = false;
  constexpr bool in_suite = true;
  // clang-format off
  static const std::vector<OptionSpec> table{
      {"model", "NAME|FILE", "", "model shapes (default: llama-7b with 2 layers)", "Case", {bench, plan}, once, in_suite},
      {"layers", "N", "", "layers instead of the model's own", "Case", {bench, plan}, once, in_suite},
      {"plan", "NAME|FILE", "", "tp, tp+sp or a plan file; repeatable (default: both)", "Case", {bench, plan}, repeatable, in_suite},
      {"seq", "LIST", "256,512,1024", "lengths, as 512 or 256..4096*2", "Case", {bench, plan}, repeatable, in_suite},
      {"batch", "N", "2", "sequences in a batch", "Case", {bench, plan}, once, in_suite},
      {"dtype", "TYPE", "fp32", "fp32 or bf16", "Case", {bench, plan}, once, in_suite},
      {"op", "LIST", "all-reduce,reduce-scatter,all-gather,seam", "collectives; seam: reduce-scatter, add, norm, gather\n", "Case", {comm}, repeatable},
      {"bytes", "LIST", "1024..33554432*4", "sizes of the whole buffer, as 8M or 1K..32M*4\n", "Case", {comm}, repeatable},
      {"placement", "NAME", "both", "buffers of the caller's own (out), in the transport's\nmemory (in), or both", "Case", {comm}},
      {"dtype", "LIST", "fp32", "fp32, bf16", "Case", {comm}, repeatable},
      {"seed", "N", "0", "of weights, tokens and order", "Case", {bench}, once, in_suite},
      {"seed", "N", "0", "of the order", "Case", {comm}},
      {"world", "T", "2", "ranks to preview", "Case", {plan}, once, in_suite},
      {"suite", "NAME|FILE", "", "many cases and their protocol: smoke, hpml, ...", "Case", {bench}},
      {"device", "NAME", "auto", "auto, cpu or cuda", "Machine", {bench, comm}, once, in_suite},
      {"backend", "NAME", "auto", "auto, or one that tpsp-bench info lists", "Machine", {bench}, once, in_suite},
      {"backend", "LIST", "auto", "of those that tpsp-bench info lists; auto: the best,\nall: those that can serve", "Machine", {comm}, repeatable},
      {"threads", "N", "", "per rank (default: the rank's share of cores)", "Machine", {bench, comm}, once, in_suite},
      {"threads", "N", "1", "that --peaks computes with", "Machine", {info}},
      {"gemm", "NAME", "auto", "products with packed weights, plain ones, or\nthe faster one if no larger (auto)", "Machine", {bench}, once, in_suite},
      {"peaks", "on|off", "on", "measure what the machine can do first", "Machine", {bench}, once, in_suite},
      {"bind", "auto|off", "auto", "own cores for ranks that nobody bound", "Machine", {bench, comm}, once, in_suite},
      {"warmup", "N", "1", "untimed forwards, at least; 0 for none", "Protocol", {bench}, once, in_suite},
      {"min-reps", "N", "9", "timed forwards, at least", "Protocol", {bench}, once, in_suite},
      {"min-time", "S", "0.5", "seconds of them for each plan, at least", "Protocol", {bench}, once, in_suite},
      {"max-noise", "PERCENT", "1", "then on until the medians are known so well", "Protocol", {bench}, once, in_suite},
      {"max-time", "S", "60", "or until the plans in turn took so long", "Protocol", {bench}, once, in_suite},
      {"reps", "N", "", "exactly so many, instead of the four above", "Protocol", {bench}, once, in_suite},
      {"order", "NAME", "random", "plans in turns (random) or sequential", "Protocol", {bench}, once, in_suite},
      {"warmup", "N", "1", "untimed repetitions, at least; 0 for none", "Protocol", {comm}},
      {"min-reps", "N", "9", "timed repetitions, at least: a call each, or as many\nas take 200 us", "Protocol", {comm}},
      {"min-time", "S", "0.1", "seconds of them a backend, at least", "Protocol", {comm}},
      {"max-noise", "PERCENT", "1", "then on until the medians are known so well", "Protocol", {comm}},
      {"max-time", "S", "2", "or until the backends in turn took so long", "Protocol", {comm}},
      {"reps", "N", "", "exactly so many, instead of the four above", "Protocol", {comm}},
      {"order", "NAME", "random", "in turns (random) or sequential", "Protocol", {comm}},
      {"weights", "NAME", "shared", "shared by plans, own, or all kept", "Protocol", {bench}, once, in_suite},
      {"check", "on|off", "on", "compare logits with the unsharded model", "Protocol", {bench}, once, in_suite},
      {"profile", "on|off", "on", "one more forward, to see where time goes", "Protocol", {bench}, once, in_suite},
      {"out", "FILE", "", "rows go here: .csv, .jsonl, .md; repeatable\n(default: tpsp-results.csv and tpsp-results.jsonl)", "Output", {bench, comm}, repeatable},
      {"trace", "FILE", "", "the profiled forwards, for ui.perfetto.dev", "Output", {bench}},
      {"export", "DIR", "", "write model and logits of one case for others", "Output", {bench}},
      {"match", "COLUMNS", "", "what rows must share to be one case\n(default: all from model to seed, and what else tells\nrows of one file apart)", "Comparison", {compare}, repeatable},
      {"margin", "PERCENT", fmt::format("{:g}", 100 * margin_between_runs), "whole intervals within this are 'same'", "Comparison", {compare}},
      {"fail-on", "VERDICT", "", "slower, faster, undecided, unmatched, worse-numbers:\nexit with 3, as for cases that failed or are missing", "Comparison", {compare}, repeatable},
      {"output", "FILE", "report.html", "the page to write", "Output", {report}},
      {"config", "FILE", "", "YAML, options with a value as keys", "Output", {bench, comm, plan}},
  };
  // clang-format on
  return table;
}

std::vector<std::string> suite_keys() {
  std::vector<std::string> names;
  for (const auto& spec : option_table()) {
    if (spec.in_suite) names.push_back(spec.name);
  }
  return names;
}

}  // namespace tpsp
