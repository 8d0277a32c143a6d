#include "bench_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "choices.h"
#include "suite.h"
#include "tpsp/bench/gemm_cache.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/device.h"

namespace tpsp {
namespace {

WeightPolicy weights_setting(const Settings& settings) {
  const auto name = choice_setting(settings, "weights", {"shared", "own", "kept"});
  if (name == "shared") return WeightPolicy::shared;
  return name == "own" ? WeightPolicy::own : WeightPolicy::kept;
}

GemmPolicy gemm_setting(const Settings& settings) {
  const auto name = choice_setting(settings, "gemm", {"auto", "packed", "plain"});
  if (name == "auto") return GemmPolicy::automatic;
  return name == "packed" ? GemmPolicy::packed : GemmPolicy::plain;
}

std::optional<std::filesystem::path> gemm_cache_setting(const Settings& settings) {
  if (!settings.has("gemm-cache")) return default_gemm_cache();
  const auto& text = settings.at("gemm-cache").text;
  return text == "off" ? std::nullopt : std::optional<std::filesystem::path>(text);
}

// A weight that an optimizer writes and a backward reads the other way stays as it is.
GemmPolicy gemm_of_training(const Settings& settings) {
  const auto policy = gemm_setting(settings);
  if (policy == GemmPolicy::automatic) return GemmPolicy::in_place;
  if (policy == GemmPolicy::plain) return policy;
  throw bad_input({.where = settings.at("gemm").where,
                   .what = "a training step has no packed weights",
                   .remedy = "write auto or plain, or leave it out"});
}

bool runs_alone(const Settings& settings) { return settings.at("backend").text == "null"; }

// What only a rank that runs alone has.
void refuse_options_of_null(const Settings& settings) {
  for (const auto* name : {"rank", "link"}) {
    if (!settings.has(name)) continue;
    throw bad_input({.where = settings.at(name).where,
                     .what = fmt::format("{} is of one rank alone", name),
                     .remedy = "add --backend null, or leave it out"});
  }
}

// What --world, or world in a suite, has.
std::vector<std::int64_t> worlds_setting(const Settings& settings) {
  if (!settings.has("world")) return {};
  return parse_sizes(settings.at("world").text, settings.at("world").where, 1, most_ranks);
}

void require_world(const Settings& settings, const World& world) {
  const auto worlds = worlds_setting(settings);
  if (worlds.empty() || std::find(worlds.begin(), worlds.end(), world.size()) != worlds.end()) return;
  throw bad_input({.where = settings.at("world").where,
                   .what = fmt::format("there {} {}", world.size() == 1 ? "is" : "are", counted(world.size(), "rank")),
                   .remedy = "start as many with mpirun -n, leave world out, or run one of them with --backend null"});
}

// The ranks of the case: those that are here, or those of which this one is the only one that runs.
int world_of(const Settings& settings, const World& world) {
  if (!runs_alone(settings)) {
    refuse_options_of_null(settings);
    require_world(settings, world);
    return world.size();
  }
  if (world.size() > 1) {
    throw bad_input({.where = settings.at("backend").where,
                     .what = fmt::format("null runs one rank alone, and there are {}", world.size()),
                     .remedy = "start it without mpirun, and say which with --world and --rank"});
  }
  const auto worlds = worlds_setting(settings);
  if (worlds.size() == 1) return static_cast<int>(worlds.front());
  throw bad_input({.where = settings.at("backend").where,
                   .what = fmt::format("null runs one rank of a world, and there {}",
                                       worlds.empty() ? "is no world" : "are several"),
                   .remedy = "add --world, such as --world 8"});
}

std::optional<int> rank_setting(const Settings& settings, int world) {
  if (!runs_alone(settings)) return std::nullopt;
  return settings.has("rank") ? static_cast<int>(integer_setting(settings, "rank", 0, world - 1)) : 0;
}

// One rank alone has no result to check.
bool check_setting(const Settings& settings) {
  const bool on = choice_setting(settings, "check", {"on", "off"}) == "on";
  if (!on || !runs_alone(settings)) return on;
  const auto& where = settings.at("check").where;
  if (where == "default") return false;
  throw bad_input({.where = where,
                   .what = "one rank alone has no result to check",
                   .why = "the other ranks' part of it is missing",
                   .remedy = "leave check out, or choose another backend"});
}

BenchJob job_of(const Settings& settings, const CommandLine& line, const World& world, spdlog::logger& log) {
  BenchJob job;
  auto& sweep = job.sweep;
  sweep.model = model_setting(settings);
  sweep.training = step_setting(settings);
  const auto ranks = world_of(settings, world);
  sweep.rank = rank_setting(settings, ranks);
  if (settings.has("link")) sweep.link = load_link(settings.at("link").text);
  sweep.plans = plan_setting(settings, *sweep.model, ranks_of_replica(settings, ranks),
                             line.flags.contains("allow-unused-rules"), log);
  sweep.seqs = seq_setting(settings, log);
  sweep.batch = batch_setting(settings, sweep.seqs);
  if (sweep.training) require_shares(settings, sweep.batch, *sweep.training);
  sweep.dtype = dtype_setting(settings);
  sweep.device = device_setting(settings, world);
  sweep.protocol = protocol_setting(settings);
  sweep.weights = weights_setting(settings);
  sweep.check = check_setting(settings);
  sweep.profile = choice_setting(settings, "profile", {"on", "off"}) == "on";
  sweep.seed = static_cast<std::uint64_t>(integer_setting(settings, "seed", 0, INT64_MAX));
  sweep.protocol.seed = sweep.seed;
  if (settings.has("threads")) job.threads = static_cast<int>(integer_setting(settings, "threads", 1, 4096));
  sweep.gemm = sweep.training ? gemm_of_training(settings) : gemm_setting(settings);
  job.peaks = choice_setting(settings, "peaks", {"on", "off"}) == "on";
  job.bind = choice_setting(settings, "bind", {"auto", "off"}) == "auto";
  job.backend = settings.at("backend").text;
  return job;
}

// Why an entry of a suite is not for this run.
std::optional<std::string> not_for(const SuiteEntry& entry, const Settings& settings, const World& world) {
  const auto& worlds = entry.worlds;
  const auto ranks = runs_alone(settings) ? world_of(settings, world) : world.size();
  if (!worlds.empty() && std::find(worlds.begin(), worlds.end(), ranks) == worlds.end()) {
    return fmt::format("it is for {} ranks", fmt::join(worlds, ", "));
  }
  const auto& device = settings.at("device").text;  // perhaps not the entry's: the command line comes first
  if (entry.device == "cuda" && (device != "cuda" || cuda_device_count() == 0)) return "it is for a GPU";
  if (entry.device == "cpu" && device != "cpu") return "it is for the CPU";
  return std::nullopt;
}

// A variable that was set for other programs is easily forgotten, and the suite is about its plans.
void warn_of_replaced_plans(const SuiteEntry& entry, const Settings& settings, spdlog::logger& log) {
  if (!settings.has("plan") || settings.at("plan").where != prior_switch_variable) return;
  const auto map = std::find_if(entry.maps.begin(), entry.maps.end(), [](const auto& one) { return one.has("plan"); });
  log.warn("{}: {} instead of the suite's plans ({}); unset it to measure those", prior_switch_variable,
           settings.at("plan").text, map == entry.maps.end() ? "the default" : map->where("plan"));
}

std::vector<BenchJob> suite_jobs(const CommandLine& line, const Setting& name, const World& world,
                                 spdlog::logger& log) {
  const auto suite = load_suite(name.text);
  std::vector<BenchJob> jobs;
  std::string last_reason;
  for (const auto& entry : suite.entries) {
    const Settings settings(line, entry.maps);
    const auto reason = not_for(entry, settings, world);
    if (reason) {
      log.info("{} is left out: {}", entry.maps.front().where(), *reason);
      last_reason = *reason;
      continue;
    }
    if (jobs.empty()) warn_of_replaced_plans(entry, settings, log);
    jobs.push_back(job_of(settings, line, world, log));
    jobs.back().suite = suite.name;
  }
  if (!jobs.empty()) return jobs;
  throw bad_input({.where = name.where,
                   .what = fmt::format("no case of the suite '{}' is for this run", suite.name),
                   .why = last_reason,
                   .remedy = "start as many ranks with mpirun -n, or choose another suite"});
}

/// The I-th of N jobs.
struct Part {
  std::int64_t index = 1;
  std::int64_t count = 1;
};

Part part_setting(const Settings& settings) {
  constexpr std::int64_t most = 10000;
  const auto& [text, where] = settings.at("part");
  const auto numbers = split(text, '/');
  if (numbers.size() != 2) {
    throw bad_input({.where = where,
                     .what = quote(text) + " is no part",
                     .remedy = "write the job's number and how many there are, such as 2/4"});
  }
  const auto count = parse_integer(numbers[1], where, 1, most);
  return {.index = parse_integer(numbers[0], where, 1, count), .count = count};
}

// Lengths of all jobs are dealt out one by one; a length keeps all its plans, which are interleaved.
void keep_part(std::vector<BenchJob>& jobs, const Settings& settings) {
  const auto part = part_setting(settings);
  std::int64_t dealt = 0;
  for (auto& job : jobs) {
    std::erase_if(job.sweep.seqs, [&](std::int64_t) { return dealt++ % part.count + 1 != part.index; });
  }
  std::erase_if(jobs, [](const BenchJob& job) { return job.sweep.seqs.empty(); });
  if (!jobs.empty()) return;
  throw bad_input({.where = settings.at("part").where,
                   .what = fmt::format("there are only {} to share", counted(dealt, "length")),
                   .remedy = "start fewer jobs"});
}

std::string trace_setting(const Settings& settings, const std::vector<BenchJob>& jobs) {
  const auto& [text, where] = settings.at("trace");
  refuse_results_file(text, where);
  require_keeps(text);  // it is written anew with every row
  if (std::all_of(jobs.begin(), jobs.end(), [](const auto& job) { return job.sweep.profile; })) return text;
  throw bad_input({.where = where, .what = "there is nothing to trace with --profile off", .remedy = "leave that out"});
}

std::string facts_of(const BenchJob& job) {
  const auto& sweep = job.sweep;
  std::string facts = fmt::format("backend {}\n", job.backend);
  for (const auto& plan : sweep.plans) {
    facts += fmt::format("plan {} does {}\n", plan.name, plan.signature());
    for (const auto seq : sweep.seqs) facts += text_of(case_of(sweep, plan, seq));
  }
  return facts + fmt::format("bind {}\npeaks {}\n", job.bind, job.peaks);
}

}  // namespace

BenchOptions read_options(const CommandLine& line, const World& world, spdlog::logger& log) {
  const Settings settings(line);
  for (const auto& [name, setting] : settings.all()) log.debug("{} is {} ({})", name, setting.text, setting.where);
  BenchOptions options;
  options.jobs = settings.has("suite") ? suite_jobs(line, settings.at("suite"), world, log)
                                       : std::vector{job_of(settings, line, world, log)};
  if (settings.has("part")) keep_part(options.jobs, settings);
  options.outs = out_setting(settings);
  options.resume = line.flags.contains("resume");
  if (settings.has("trace")) options.trace = trace_setting(settings, options.jobs);
  options.gemm_cache = gemm_cache_setting(settings);
  options.timeout_s = timeout_setting(settings);
  if (settings.has("export")) options.export_folder = settings.at("export").text;
  return options;
}

std::string facts_of(const BenchOptions& options) {
  std::string facts;
  for (const auto& job : options.jobs) facts += facts_of(job);
  return facts + fmt::format("timeout {}\nresume {}\ntrace {}\nexport {}\n", options.timeout_s.value_or(-1),
                             options.resume, options.trace.has_value(), options.export_folder.value_or("none"));
}

}  // namespace tpsp
