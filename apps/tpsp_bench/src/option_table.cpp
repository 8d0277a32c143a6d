#include <fmt/format.h>

#include "settings.h"
#include "tpsp/results/case_fields.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

namespace {

Command command_of(Asked asked) {
  switch (asked) {
    case Asked::forward: return Command::bench;
    case Asked::preview: return Command::plan;
    case Asked::collective: return Command::comm;
  }
  return Command::bench;
}

// The options that ask for a case's fields, and these after them.
std::vector<OptionSpec> with_case_options(const std::vector<OptionSpec>& others) {
  std::vector<OptionSpec> all;
  for (const auto& field : case_fields()) {
    for (const auto& option : field.options) {
      OptionSpec spec{option.name, option.metavar,    option.fallback, option.meaning, option.group,
                      {},          option.repeatable, option.in_suite};
      for (const auto asked : option.commands) spec.commands.push_back(command_of(asked));
      all.push_back(std::move(spec));
    }
  }
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

}  // namespace

const std::vector<OptionSpec>& option_table() {
  using enum Command;
  constexpr bool repeatable = true;
  constexpr bool once = false;
  constexpr bool in_suite = true;
  // clang-format off
  static const auto table = with_case_options({
      {"suite", "NAME|FILE", "", "many cases and their protocol: smoke, hpml, ...", "Case", {bench}},
      {"part", "I/N", "", "of N jobs that share the lengths and cases, the I-th,\nas 2/4: for an array of jobs, see merge", "Case", {bench}},
      {"fit", "BYTES", "", "the largest batch for so much memory of a rank, as\n48GB or 80GiB, instead of --batch", "Case", {plan}},
      {"threads", "N", "1", "that --peaks computes with", "Machine", {info}},
      {"gemm", "NAME", "auto", "GEMMs with packed weights, plain ones, or\nthe faster one if hardly larger (auto); a\ntraining step packs none", "Machine", {bench}, once, in_suite},
      {"gemm-cache", "FILE|off", "", "kernels that were the faster ones, for later runs\n(default: tpsp-bench/gemm.json in ~/.cache)", "Machine", {bench}},
      {"peaks", "on|off", "on", "measure what the machine can do first", "Machine", {bench}, once, in_suite},
      {"bind", "auto|off", "auto", "give unbound ranks cores of their own", "Machine", {bench, comm}, once, in_suite},
      {"timeout", "S|auto|off", "auto", "end a run that does nothing for so long; auto is\n120 s, more for large cases", "Machine", {bench}},
      {"timeout", "S|auto|off", "auto", "end a run that does nothing for so long; auto is\n120 s", "Machine", {comm}},
      {"link", "NAME|FILE", "", "null: predict the time with collectives, over\npcie4, nvlink4 or a link of a file", "Machine", {bench}, once, in_suite},
      {"warmup", "N", "1", "untimed repetitions, at least; 0 for none", "Protocol", {bench}, once, in_suite},
      {"min-reps", "N", "9", "timed repetitions, at least", "Protocol", {bench}, once, in_suite},
      {"min-time", "S", "0.5", "seconds of them for each plan, at least", "Protocol", {bench}, once, in_suite},
      {"max-noise", "PERCENT", "1", "then on until the medians are known so well", "Protocol", {bench}, once, in_suite},
      {"max-time", "S", "60", "or until interleaved plans took so long", "Protocol", {bench}, once, in_suite},
      {"reps", "N", "", "exactly so many, instead of the four above", "Protocol", {bench}, once, in_suite},
      {"order", "NAME", "random", "random (interleaved) or sequential", "Protocol", {bench}, once, in_suite},
      {"warmup", "N", "1", "untimed repetitions, at least; 0 for none", "Protocol", {comm}},
      {"min-reps", "N", "9", "timed repetitions, at least: a call each, or as many\nas take 200 us", "Protocol", {comm}},
      {"min-time", "S", "0.1", "seconds of them a backend, at least", "Protocol", {comm}},
      {"max-noise", "PERCENT", "1", "then on until the medians are known so well", "Protocol", {comm}},
      {"max-time", "S", "2", "or until interleaved backends took so long", "Protocol", {comm}},
      {"reps", "N", "", "exactly so many, instead of the four above", "Protocol", {comm}},
      {"order", "NAME", "random", "random (interleaved) or sequential", "Protocol", {comm}},
      {"weights", "NAME", "shared", "shared by plans, own, or all kept", "Protocol", {bench}, once, in_suite},
      {"check", "on|off", "on", "compare results with the unsharded model", "Protocol", {bench}, once, in_suite},
      {"profile", "on|off", "on", "one more repetition: where time goes", "Protocol", {bench}, once, in_suite},
      {"out", "FILE", "", "rows go here: .csv, .jsonl, .md; repeatable\n(default: tpsp-results.csv and tpsp-results.jsonl)", "Output", {bench, comm}, repeatable},
      {"trace", "FILE", "", "the profiled repetitions, for ui.perfetto.dev", "Output", {bench}},
      {"export", "DIR", "", "write model and results of one case for others", "Output", {bench}},
      {"match", "COLUMNS", "", "columns that are equal in rows of one case\n(default: all from model to seed, and others in which\nrows of one file differ)", "Comparison", {compare}, repeatable},
      {"margin", "PERCENT", fmt::format("{:g}", 100 * margin_between_runs), "intervals entirely within this are 'same'", "Comparison", {compare}},
      {"fail-on", "VERDICT", "", "slower, faster, undecided, unmatched, worse-numbers:\nexit with 3, as for cases that failed or are missing", "Comparison", {compare}, repeatable},
      {"output", "FILE", "report.html", "the page to write", "Output", {report}},
      {"output", "FILE", "merged.jsonl", "the file to write, .jsonl or .csv", "Output", {merge}},
      {"config", "FILE", "", "YAML, options with a value as keys", "Output", {bench, comm, plan}},
  });
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
