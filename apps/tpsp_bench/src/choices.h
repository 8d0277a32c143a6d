// Settings turned into the values that the commands work with.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "settings.h"
#include "tpsp/bench/protocol.h"
#include "tpsp/models/architecture.h"
#include "tpsp/models/training_step.h"
#include "tpsp/parallel/lowering.h"

namespace tpsp {

// Each throws bad_input that names the setting's place.
/// The items of a list with commas.
std::vector<std::string> words_of(const Setting& setting);
std::int64_t integer_setting(const Settings& settings, const std::string& name, std::int64_t min, std::int64_t max);
double real_setting(const Settings& settings, const std::string& name, double min, double max);
/// Seconds, 0 for "off", nothing for "auto".
std::optional<double> timeout_setting(const Settings& settings);
std::string choice_setting(const Settings& settings, const std::string& name, const std::vector<std::string>& choices);
/// Throws bad_input naming `where` unless `word` is one of `choices`.
void require_choice(const std::string& word, const std::string& where, const std::vector<std::string>& choices);
/// Throws bad_input for a path that ends as a file of results does: it is to be something else, and would be lost.
void refuse_results_file(const std::string& path, const std::string& where);
// Of a list, each value once; one that is repeated is warned about.
std::vector<std::int64_t> each_once(const std::vector<std::int64_t>& sizes, const std::string& where,
                                    spdlog::logger& log);
std::vector<std::int64_t> seq_setting(const Settings& settings, spdlog::logger& log);
std::vector<std::string> words_setting(const Settings& settings, const std::string& name, spdlog::logger& log);
inline constexpr std::int64_t most_sequences = 65536;  ///< in a batch
inline constexpr std::int64_t most_tokens = 1 << 28;   ///< in a forward: keeps every byte count in 64 bits
inline constexpr int most_ranks = 65536;
std::int64_t batch_setting(const Settings& settings, const std::vector<std::int64_t>& seqs);
/// Of a training step; nothing for a forward, whose options may then say nothing of one.
std::optional<StepSettings> step_setting(const Settings& settings);
/// The ranks of one replica. Throws where the replicas do not divide `world`, or are not those of a training step.
int ranks_of_replica(const Settings& settings, int world);
/// Throws where the replicas and micro-batches do not divide the batch.
void require_shares(const Settings& settings, std::int64_t batch, const StepSettings& step);
c10::ScalarType dtype_setting(const Settings& settings);
/// But for the seed of its order.
Protocol protocol_setting(const Settings& settings);
c10::Device device_setting(const Settings& settings, const World& world);
std::vector<std::filesystem::path> out_setting(const Settings& settings);
/// The model of --model with --layers applied. Without --model: llama-7b with 2 layers.
std::shared_ptr<const Architecture> model_setting(const Settings& settings);

/// The plans of --plan (default tp and tp+sp), each once, lowered for `world` ranks. Throws for rules that match
/// nothing unless `allow_unused_rules`.
std::vector<LoweredPlan> plan_setting(const Settings& settings, const Architecture& model, int world,
                                      bool allow_unused_rules, spdlog::logger& log);

}  // namespace tpsp
