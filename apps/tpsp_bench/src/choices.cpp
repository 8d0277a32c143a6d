#include "choices.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/comm/dtype.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/device.h"
#include "tpsp/models/llama.h"

namespace tpsp {
namespace {

// A second row of one case would have the first one's key. Ranges and short forms (--tp) repeat values easily, so that
// it is no error.
template <typename Value>
std::vector<Value> without_repeats(const std::vector<Value>& values, const std::string& where, spdlog::logger& log) {
  std::vector<Value> once;
  std::vector<Value> repeated;
  for (const auto& value : values) {
    const bool known = std::find(once.begin(), once.end(), value) != once.end();
    const bool reported = std::find(repeated.begin(), repeated.end(), value) != repeated.end();
    if (!known) once.push_back(value);
    if (known && !reported) repeated.push_back(value);
  }
  for (const auto& value : repeated) log.warn("{}: {} is in the list more than once, and is taken once", where, value);
  return once;
}

}  // namespace

std::vector<std::string> words_of(const Setting& setting) {
  std::vector<std::string> words;
  for (const auto& item : split(setting.text, ',')) words.emplace_back(trim(item));
  if (std::find(words.begin(), words.end(), "") == words.end()) return words;
  throw bad_input({.where = setting.where,
                   .what = fmt::format("the list {} has an empty item", quote(setting.text)),
                   .remedy = "write one comma between two items"});
}

std::int64_t integer_setting(const Settings& settings, const std::string& name, std::int64_t min, std::int64_t max) {
  const auto& setting = settings.at(name);
  return parse_integer(setting.text, setting.where, min, max);
}

double real_setting(const Settings& settings, const std::string& name, double min, double max) {
  const auto& setting = settings.at(name);
  return parse_real(setting.text, setting.where, min, max);
}

std::optional<double> timeout_setting(const Settings& settings) {
  constexpr double longest_s = 1e6;
  const auto& text = settings.at("timeout").text;
  if (text == "auto") return std::nullopt;
  return text == "off" ? 0 : real_setting(settings, "timeout", 1, longest_s);
}

std::string choice_setting(const Settings& settings, const std::string& name, const std::vector<std::string>& choices) {
  const auto& setting = settings.at(name);
  require_choice(setting.text, setting.where, choices);
  return setting.text;
}

void require_choice(const std::string& word, const std::string& where, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), word) != choices.end()) return;
  throw bad_input(
      {.where = where, .what = quote(word) + " is not one of its values", .remedy = suggest(word, choices)});
}

void refuse_results_file(const std::string& path, const std::string& where) {
  std::error_code ignored;
  const auto target = std::filesystem::weakly_canonical(path, ignored).extension();  // of a link, where it leads
  for (const auto* ending : {".csv", ".jsonl", ".md"}) {
    if (!path.ends_with(ending) && target != ending) continue;
    throw bad_input({.where = where,
                     .what = quote(path) + " ends as results do",
                     .why = "what is there would be lost",
                     .remedy = "give a name with another ending"});
  }
}

std::vector<std::int64_t> each_once(const std::vector<std::int64_t>& sizes, const std::string& where,
                                    spdlog::logger& log) {
  return without_repeats(sizes, where, log);
}

std::vector<std::int64_t> seq_setting(const Settings& settings, spdlog::logger& log) {
  constexpr std::int64_t longest = 1 << 20;
  const auto& setting = settings.at("seq");
  return each_once(parse_sizes(setting.text, setting.where, 1, longest), setting.where, log);
}

std::vector<std::string> words_setting(const Settings& settings, const std::string& name, spdlog::logger& log) {
  const auto& setting = settings.at(name);
  return without_repeats(words_of(setting), setting.where, log);
}

std::int64_t batch_setting(const Settings& settings, const std::vector<std::int64_t>& seqs) {
  const auto batch = integer_setting(settings, "batch", 1, most_sequences);
  for (const auto seq : seqs) {
    if (batch * seq <= most_tokens) continue;
    throw bad_input({.where = settings.at("batch").where,
                     .what = fmt::format("{} sequences of {} tokens are too many", batch, seq),
                     .remedy = fmt::format("at most {} tokens fit in a forward", most_tokens)});
  }
  return batch;
}

namespace {

// Options of a step mean nothing for a forward.
void refuse_step_options(const Settings& settings) {
  for (const auto* name : {"recompute", "regather", "optimizer", "micro-batches", "dp", "shard"}) {
    const auto& setting = settings.at(name);
    if (setting.where == "default") continue;
    throw bad_input({.where = setting.where,
                     .what = fmt::format("a forward has no {}", name),
                     .remedy = "add --workload train, or leave it out"});
  }
}

Recompute recompute_setting(const Settings& settings) {
  const auto name = choice_setting(settings, "recompute", {"none", "attention", "block"});
  if (name == "none") return Recompute::none;
  return name == "attention" ? Recompute::attention : Recompute::block;
}

// One replica has nobody to share with.
ZeroStage shard_setting(const Settings& settings) {
  const auto& setting = settings.at("shard");
  const std::vector stages{ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters};
  std::vector<std::string> names;
  for (const auto stage : stages) names.emplace_back(to_string(stage));
  const auto name = choice_setting(settings, "shard", names);
  const auto stage = stages.at(static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin()));
  if (stage == ZeroStage::none || integer_setting(settings, "dp", 1, most_ranks) > 1) return stage;
  throw bad_input({.where = setting.where,
                   .what = fmt::format("there is one replica, and {} are divided over replicas", name),
                   .remedy = "add --dp 2, or leave it out"});
}

}  // namespace

std::optional<StepSettings> step_setting(const Settings& settings) {
  if (choice_setting(settings, "workload", {"forward", "train"}) == "forward") {
    refuse_step_options(settings);
    return std::nullopt;
  }
  return StepSettings{.saved = {.recompute = recompute_setting(settings),
                                .regather = choice_setting(settings, "regather", {"on", "off"}) == "on"},
                      .micro_batches = integer_setting(settings, "micro-batches", 1, most_sequences),
                      .adamw = choice_setting(settings, "optimizer", {"none", "adamw"}) == "adamw",
                      .dp = static_cast<int>(integer_setting(settings, "dp", 1, most_ranks)),
                      .shard = shard_setting(settings)};
}

int ranks_of_replica(const Settings& settings, int world) {
  const auto replicas = static_cast<int>(integer_setting(settings, "dp", 1, most_ranks));
  if (world % replicas == 0) return world / replicas;
  throw bad_input({.where = settings.at("dp").where,
                   .what = fmt::format("{} {} not divide into {} replicas", counted(world, "rank"),
                                       world == 1 ? "does" : "do", replicas),
                   .remedy = fmt::format("start a multiple of {} ranks", replicas)});
}

void require_shares(const Settings& settings, std::int64_t batch, const StepSettings& step) {
  const auto share = replica_batch(batch, step.dp, settings.at("dp").where);
  if (share % step.micro_batches == 0) return;
  throw bad_input({.where = settings.at("micro-batches").where,
                   .what = fmt::format("a batch of {} does not divide into {}", share, step.micro_batches),
                   .why = step.dp > 1 ? "that is each replica's share" : "",
                   .remedy = fmt::format("choose a number that divides {}", share)});
}

c10::ScalarType dtype_setting(const Settings& settings) {
  return scalar_type(*parse_dtype(choice_setting(settings, "dtype", dtype_names())));
}

Protocol protocol_setting(const Settings& settings) {
  constexpr double percent = 0.01;
  constexpr double longest_s = 1e6;
  constexpr std::int64_t most_reps = 1'000'000;
  Protocol protocol;
  protocol.warmup = static_cast<int>(integer_setting(settings, "warmup", 0, 10'000));
  protocol.min_reps = static_cast<int>(integer_setting(settings, "min-reps", 1, most_reps));
  protocol.min_time_s = real_setting(settings, "min-time", 0, longest_s);
  protocol.max_noise = percent * real_setting(settings, "max-noise", 0, 100);
  protocol.max_time_s = real_setting(settings, "max-time", 0, longest_s);
  if (settings.has("reps")) protocol.reps = static_cast<int>(integer_setting(settings, "reps", 1, most_reps));
  const bool in_turns = choice_setting(settings, "order", {"random", "sequential"}) == "random";
  protocol.order = in_turns ? Order::random : Order::sequential;
  return protocol;
}

c10::Device device_setting(const Settings& settings, const World& world) {
  return choose_device(choice_setting(settings, "device", {"auto", "cpu", "cuda"}), world);
}

std::vector<std::filesystem::path> out_setting(const Settings& settings) {
  if (!settings.has("out")) return {"tpsp-results.csv", "tpsp-results.jsonl"};
  const auto words = words_of(settings.at("out"));
  return {words.begin(), words.end()};
}

std::shared_ptr<const Architecture> model_setting(const Settings& settings) {
  constexpr std::int64_t default_layers = 2;
  auto model = load_model(settings.has("model") ? settings.at("model").text : "llama-7b");
  if (settings.has("layers")) {
    model.layers = integer_setting(settings, "layers", 1, 1000);
  } else if (!settings.has("model")) {
    model.layers = default_layers;
  }
  return std::make_shared<Llama>(std::move(model));
}

namespace {

// Rows name plans, so names must differ.
void refuse_equal_names(const std::vector<LoweredPlan>& plans) {
  const auto& last = plans.back();
  const auto first = std::find_if(plans.begin(), plans.end(), [&](const auto& plan) { return plan.name == last.name; });
  if (&*first == &last) return;
  throw bad_input({.where = "--plan",
                   .what = fmt::format("two plans are called '{}'", last.name),
                   .why = "their rows would have the same name",
                   .remedy = "rename one of the files"});
}

}  // namespace

std::vector<LoweredPlan> plan_setting(const Settings& settings, const Architecture& model, int world,
                                      bool allow_unused_rules, spdlog::logger& log) {
  const auto modules = model.modules();
  const auto setting = settings.has("plan") ? settings.at("plan") : Setting{"tp,tp+sp", "default"};
  std::vector<LoweredPlan> plans;
  for (const auto& name : without_repeats(words_of(setting), setting.where, log)) {
    plans.push_back(lower(load_plan(name), modules, world));
    refuse_unused_rules(plans.back(), allow_unused_rules);
    refuse_equal_names(plans);
  }
  return plans;
}

}  // namespace tpsp
