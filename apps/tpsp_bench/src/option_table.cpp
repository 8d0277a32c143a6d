#include "settings.h"

namespace tpsp {

const std::vector<OptionSpec>& option_table() {
  using enum Command;
  static const std::vector<OptionSpec> table{
      {"model", "NAME|FILE", "", "model shapes (default: llama-7b with 2 layers)", "Case", {bench, plan}},
      {"layers", "N", "", "layers instead of the model's own", "Case", {bench, plan}},
      {"plan", "NAME|FILE", "", "tp, tp+sp or a plan file; repeatable (default: both)", "Case", {bench, plan}, true},
      {"seq", "LIST", "256,512,1024", "lengths, as 512 or 256..4096*2", "Case", {bench, plan}, true},
      {"batch", "N", "2", "sequences in a batch", "Case", {bench, plan}},
      {"dtype", "TYPE", "fp32", "fp32 or bf16", "Case", {bench, plan}},
      {"seed", "N", "0", "of weights and tokens", "Case", {bench}},
      {"world", "T", "2", "ranks to preview", "Case", {plan}},
      {"device", "NAME", "auto", "auto, cpu or cuda", "Machine", {bench}},
      {"backend", "NAME", "auto", "auto, or one that tpsp-bench info lists", "Machine", {bench}},
      {"threads", "N", "", "per rank (default: the rank's share of cores)", "Machine", {bench}},
      {"warmup", "N", "1", "untimed forwards at first", "Protocol", {bench}},
      {"reps", "N", "5", "timed forwards", "Protocol", {bench}},
      {"check", "on|off", "on", "compare logits with the unsharded model", "Protocol", {bench}},
      {"out", "FILE", "tpsp-results.csv", "rows are appended here", "Output", {bench}},
      {"export", "DIR", "", "write model and logits of one case for others", "Output", {bench}},
      {"config", "FILE", "", "YAML, options with a value as keys", "Output", {bench, plan}},
  };
  return table;
}

}  // namespace tpsp
