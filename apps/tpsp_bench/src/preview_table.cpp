#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "preview_text.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::string placement_word(const std::optional<Placement>& placement) {
  if (!placement) return "-";
  if (placement->is_replicate()) return "full";
  if (placement->is_partial()) return "partial";
  return placement->is_shard(seq_dim) ? "seq" : "feature";
}

// One below the other, each in the columns of the first.
std::string collectives_text(const std::vector<PreviewCollective>& collectives) {
  constexpr std::size_t columns_before = 56;
  std::string text;
  for (const auto& [kind, bytes] : collectives) {
    if (!text.empty()) text.append("\n").append(columns_before, ' ');
    text += fmt::format("{:<14} {:>8}", to_string(kind), human_bytes(bytes));
  }
  return text;
}

// "layers.3.attention.wq" -> {3, "attention.wq"}; anything else has no layer.
struct LayerName {
  int layer = -1;
  std::string rest;
};
LayerName layer_name(const std::string& name) {
  const auto parts = split(name, '.');
  if (parts.size() < 3 || parts[0] != "layers") return {-1, name};
  return {std::stoi(parts[1]), join(std::span(parts).subspan(2), ".")};
}

std::string module_line(const PreviewModule& module) {
  const bool logits = module.name == logits_module;
  const auto& module_plan = module.module_plan;
  const auto shape = fmt::format("{}", fmt::join(module.weight_shape, "x"));
  const auto style = module_plan.rule.empty() ? "-" : to_string(module_plan.style);
  const auto name = layer_name(module.name);
  const bool container = module.weight_shape.empty();
  const auto middle = container ? fmt::format("{:<21}", style) : fmt::format("{:<9} {:>11}", style, shape);
  const auto line =
      fmt::format("{:<17} {} {:<7} {:<7} {}", (name.layer < 0 ? "" : "  ") + name.rest,
                  logits ? std::string(21, ' ') : middle, logits ? "" : placement_word(module_plan.input),
                  logits || container ? "" : placement_word(module_plan.output), collectives_text(module.collectives));
  return line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
}

// The lines of one layer, or of one module outside the layers.
struct Block {
  int first_layer = -1;
  int last_layer = -1;
  std::string lines;
};

std::vector<Block> blocks_of(const std::vector<PreviewModule>& modules) {
  std::vector<Block> blocks;
  for (const auto& module : modules) {
    const int layer = layer_name(module.name).layer;
    if (layer < 0 || blocks.empty() || blocks.back().first_layer != layer) blocks.push_back({layer, layer, {}});
    blocks.back().lines += module_line(module);
  }
  return blocks;
}

// Neighbouring layers that do the same become one block.
std::vector<Block> merged(const std::vector<Block>& blocks) {
  std::vector<Block> result;
  for (const auto& block : blocks) {
    const bool same = !result.empty() && block.first_layer >= 0 && result.back().last_layer >= 0 &&
                      result.back().lines == block.lines;
    if (same) {
      result.back().last_layer = block.last_layer;
    } else {
      result.push_back(block);
    }
  }
  return result;
}

std::string module_table(const std::vector<PreviewModule>& modules) {
  auto text = fmt::format("{:<17} {:<9} {:>11} {:<7} {:<7} {:<14} {:>8}\n", "module", "style", "weight", "want", "out",
                          "collective", "sent");
  for (const auto& block : merged(blocks_of(modules))) {
    if (block.first_layer >= 0 && block.first_layer == block.last_layer) {
      text += fmt::format("layers.{}\n", block.first_layer);
    } else if (block.first_layer >= 0) {
      text += fmt::format("layers.{} to layers.{}, each\n", block.first_layer, block.last_layer);
    }
    text += block.lines;
  }
  return text;
}

// To the byte where the column is wide enough.
std::string bytes_text(std::int64_t layers, std::int64_t logits) {
  const auto exact = fmt::format("{} + {}", with_thousands(layers), with_thousands(logits));
  return exact.size() <= 32 ? exact : fmt::format("{} + {}", human_bytes(layers), human_bytes(logits));
}

constexpr const char* totals_format = "{:>7} {:>11} {:>32} {:>8} {:>8} {:>8}\n";

// "5+1": in the layers, and for the logits.
std::string calls(std::int64_t layers, std::int64_t logits) {
  return logits == 0 ? std::to_string(layers) : fmt::format("{}+{}", layers, logits);
}

std::string totals_line(std::int64_t seq, const Preview& preview) {
  const auto& [layers, logits] = std::pair{preview.layers, preview.logits};
  const auto all_calls =
      fmt::format("{}/{}/{}", calls(layers.all_reduces, logits.all_reduces),
                  calls(layers.reduce_scatters, logits.reduce_scatters), calls(layers.all_gathers, logits.all_gathers));
  return fmt::format(totals_format, seq, all_calls, bytes_text(layers.bytes, logits.bytes),
                     human_bytes(preview.weights_bytes), human_bytes(preview.peak_activation_bytes),
                     human_bytes(preview.collective_bytes));
}

}  // namespace

std::string preview_table(const PlanPreviews& previews) {
  const auto& model = previews.model;
  const auto what =
      fmt::format("{} · {} · plan {}", model.name(), counted(model.layers(), "layer"), previews.plan.name);
  const auto where = fmt::format("{} · batch {} · {} · seq {}", counted(previews.plan.world, "rank"), previews.batch,
                                 previews.dtype, previews.seqs.front());
  const bool fits = what.size() + where.size() <= 80;  // in bytes, a little more than characters
  auto text = what + (fits ? " · " : "\n") + where + "\n\n";
  text += module_table(previews.previews.front().modules);
  text += "\nper forward and rank; AR all-reduce, RS reduce-scatter, AG all-gather, + logits\n";
  text += fmt::format(totals_format, "seq", "AR/RS/AG", "bytes sent", "weights", "activ.", "buffer");
  for (std::size_t i = 0; i < previews.seqs.size(); ++i) text += totals_line(previews.seqs[i], previews.previews[i]);
  return text;
}

}  // namespace tpsp
