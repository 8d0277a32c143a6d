#include <nlohmann/json.hpp>

#include "preview_text.h"

namespace tpsp {
namespace {

using Json = nlohmann::ordered_json;

Json placement_json(const std::optional<Placement>& placement) {
  return placement ? Json(to_string(*placement)) : Json(nullptr);
}

Json collectives_json(const std::vector<PreviewCollective>& collectives) {
  auto list = Json::array();
  for (const auto& [kind, bytes] : collectives) list.push_back({{"kind", to_string(kind)}, {"bytes_sent", bytes}});
  return list;
}

Json module_json(const PreviewModule& module) {
  return {{"name", module.name},
          {"style", to_string(module.module_plan.style)},
          {"rule", module.module_plan.rule},
          {"weight_shape", module.weight_shape},
          {"want", placement_json(module.module_plan.input)},
          {"out", placement_json(module.module_plan.output)},
          {"collectives", collectives_json(module.collectives)}};
}

Json counts_json(const CommCounts& counts) {
  return {{"all_reduces", counts.all_reduces},
          {"reduce_scatters", counts.reduce_scatters},
          {"all_gathers", counts.all_gathers},
          {"bytes_sent", counts.bytes}};
}

std::string text_of(const Json& list) {
  return list.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";  // a path may hold any bytes
}

Json findings_json(const std::vector<Finding>& findings) {
  auto list = Json::array();
  for (const auto& finding : findings) list.push_back(finding.text);
  return list;
}

Json case_json(const PlanPreviews& plan, std::int64_t seq, const Preview& preview) {
  Json json{{"workload", "forward"},
            {"model", plan.model.name()},
            {"layers", plan.model.layers()},
            {"plan", plan.plan.name},
            {"world", plan.plan.world},
            {"batch", plan.batch},
            {"seq", seq},
            {"seq_padded", preview.seq_padded},
            {"vocab_padded", preview.vocab_padded},
            {"dtype", plan.dtype}};
  json["modules"] = Json::array();
  for (const auto& module : preview.modules) json["modules"].push_back(module_json(module));
  json["per_forward_and_rank"] = {{"layers", counts_json(preview.layers)}, {"logits", counts_json(preview.logits)}};
  json["bytes_per_rank"] = {{"weights", preview.weights_bytes},
                            {"peak_activations", preview.peak_activation_bytes},
                            {"largest_collective_buffer", preview.collective_bytes}};
  json["findings"] = findings_json(preview.findings);
  return json;
}

}  // namespace

std::string preview_json(const std::vector<PlanPreviews>& plans) {
  auto list = Json::array();
  for (const auto& plan : plans) {
    for (std::size_t i = 0; i < plan.seqs.size(); ++i) list.push_back(case_json(plan, plan.seqs[i], plan.previews[i]));
  }
  return text_of(list);
}

std::string step_json(const StepPreviews& steps) {
  auto list = Json::array();
  for (const auto& [plan, seq, step, findings] : steps.rows) {
    Json json{{"workload", "train"},
              {"model", steps.model.name()},
              {"layers", steps.model.layers()},
              {"plan", plan},
              {"world", steps.world},
              {"batch", steps.batch},
              {"seq", seq},
              {"dtype", steps.dtype},
              {"recompute", to_string(steps.settings.saved.recompute)},
              {"regather", steps.settings.saved.regather},
              {"optimizer", steps.settings.adamw ? "adamw" : "none"},
              {"micro_batches", steps.settings.micro_batches},
              {"dp", steps.settings.dp},
              {"shard", to_string(steps.settings.shard)}};
    json["per_step_and_rank"] = {{"forward", counts_json(step.forward)},
                                 {"backward", counts_json(step.backward)},
                                 {"gradients", counts_json(step.gradients)},
                                 {"replicas", counts_json(step.replicas)}};
    json["bytes_per_rank"] = {{"weights", step.weights_bytes},     {"gradients", step.gradient_bytes},
                              {"optimizer", step.optimizer_bytes}, {"saved", step.saved_bytes},
                              {"saved_logits", step.logits_bytes}, {"peak_activations", step.peak_bytes}};
    json["bytes_per_rank_at_peak"] = {{"saved", step.peak[MemoryUse::saved]},
                                      {"recomputed", step.peak[MemoryUse::recomputed]},
                                      {"activations", step.peak[MemoryUse::activations]},
                                      {"logits", step.peak[MemoryUse::logits]},
                                      {"collectives", step.peak[MemoryUse::collectives]},
                                      {"unit", step.peak[MemoryUse::unit]}};
    json["findings"] = findings_json(findings);
    list.push_back(std::move(json));
  }
  return text_of(list);
}

std::string fit_json(const Fits& fits) {
  auto list = Json::array();
  for (const auto& [plan, seq, batch, is_most, need, findings] : fits.rows) {
    Json json{{"workload", fits.step ? "train" : "forward"},
              {"model", fits.model.name()},
              {"layers", fits.model.layers()},
              {"plan", plan},
              {"world", fits.world},
              {"seq", seq},
              {"dtype", fits.dtype}};
    if (fits.step) {
      json["recompute"] = to_string(fits.step->saved.recompute);
      json["regather"] = fits.step->saved.regather;
      json["optimizer"] = fits.step->adamw ? "adamw" : "none";
      json["micro_batches"] = fits.step->micro_batches;
      json["dp"] = fits.step->dp;
      json["shard"] = to_string(fits.step->shard);
    }
    json["fit_bytes"] = fits.limit;
    json["largest_batch"] = batch;
    json["limited_by"] = is_most ? "batch" : "memory";
    json["bytes_per_rank"] = {{"weights", need.weights},
                              {"gradients", need.gradients},
                              {"optimizer", need.optimizer},
                              {"peak_activations", need.activations}};
    json["findings"] = findings_json(findings);
    list.push_back(std::move(json));
  }
  return text_of(list);
}

}  // namespace tpsp
