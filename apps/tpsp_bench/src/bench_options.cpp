#include "bench_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "choices.h"
#include "tpsp/bench/device.h"

namespace tpsp {

BenchOptions read_options(const CommandLine& line, const World& world, spdlog::logger& log) {
  const Settings settings(line);
  for (const auto& [name, setting] : settings.all()) log.debug("{} is {} ({})", name, setting.text, setting.where);
  const bool allow_unused = line.flags.contains("allow-unused-rules");
  if (settings.has("world") && integer_setting(settings, "world", 1, 65536) != world.size()) {
    throw bad_input({.where = settings.at("world").where,
                     .what = fmt::format("there are {} ranks", world.size()),
                     .remedy = "start as many with mpirun -n, or leave world out"});
  }
  BenchOptions options;
  auto& sweep = options.sweep;
  sweep.model = model_setting(settings);
  sweep.plans = plan_setting(settings, sweep.model, world.size(), allow_unused);
  sweep.seqs = seq_setting(settings);
  sweep.batch = batch_setting(settings);
  sweep.dtype = dtype_setting(settings);
  sweep.device = choose_device(settings.at("device").text, world);
  sweep.protocol.warmup = static_cast<int>(integer_setting(settings, "warmup", 0, 10'000));
  sweep.protocol.reps = static_cast<int>(integer_setting(settings, "reps", 1, 1'000'000));
  sweep.check = choice_setting(settings, "check", {"on", "off"}) == "on";
  sweep.seed = static_cast<std::uint64_t>(integer_setting(settings, "seed", 0, INT64_MAX));
  if (settings.has("threads")) options.threads = static_cast<int>(integer_setting(settings, "threads", 1, 4096));
  sweep.prototype.dtype = settings.at("dtype").text;
  sweep.prototype.device = sweep.device.is_cuda() ? "cuda" : "cpu";
  options.backend = settings.at("backend").text;
  options.out = settings.at("out").text;
  if (settings.has("export")) options.export_folder = settings.at("export").text;
  return options;
}

std::string facts_of(const BenchOptions& options, const Backend& backend) {
  const auto& sweep = options.sweep;
  const auto& model = sweep.model;
  auto facts = fmt::format("model {} {} {} {} {} {} {} {} {}\n", model.name, model.hidden, model.layers, model.heads,
                           model.kv_heads, model.ffn, model.vocabulary, model.norm_eps, model.rope_theta);
  for (const auto& plan : sweep.plans) facts += fmt::format("plan {} {}\n", plan.name, plan.signature());
  facts += fmt::format("seq {}\nbatch {}\ndtype {}\nseed {}\n", fmt::join(sweep.seqs, ","), sweep.batch,
                       sweep.prototype.dtype, sweep.seed);
  facts += fmt::format("warmup {}\nreps {}\ncheck {}\n", sweep.protocol.warmup, sweep.protocol.reps, sweep.check);
  facts += fmt::format("device {}\nbackend {}\nexport {}\n", sweep.prototype.device, backend.name,
                       options.export_folder.value_or("none"));
  return facts;
}

}  // namespace tpsp
