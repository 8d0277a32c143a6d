// Plans that no one would write, to find the ones that the forward pass gets wrong.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tpsp/parallel/plan.h"

namespace tpsp {

/// Makes one plan after the other for models with two layers; the same ones for the same seed. Most fit the modules;
/// a few ask for what no module can give.
class RandomPlans {
 public:
  explicit RandomPlans(unsigned seed) : engine_(seed) {}

  Plan next() {
    Plan plan{.name = "random", .source = "random.yaml", .rules = {}};
    for (const auto* name : {"tok_embeddings", "norm", "output"}) add_rule(plan, name);
    for (const auto* part :
         {"attention_norm", "attention", "attention.wq", "attention.wk", "attention.wv", "attention.wo", "ffn_norm",
          "feed_forward", "feed_forward.w1", "feed_forward.w3", "feed_forward.w2"}) {
      if (one_in(2)) {
        add_rule(plan, std::string(R"(layers\.\d+\.)") + part);
      } else {
        add_rule(plan, std::string(R"(layers\.0\.)") + part);
        add_rule(plan, std::string(R"(layers\.1\.)") + part);
      }
    }
    return plan;
  }

 private:
  static constexpr std::array placements{Placement::replicate(), Placement::shard(seq_dim),
                                         Placement::shard(feature_dim), Placement::partial()};

  bool one_in(unsigned n) { return engine_() % n == 0; }
  template <class Range>
  auto pick(const Range& choices) {
    return choices[engine_() % choices.size()];
  }

  void add_rule(Plan& plan, const std::string& pattern) {
    if (one_in(6)) return;
    const bool container = pattern.ends_with("attention") || pattern.ends_with("feed_forward");
    const bool norm = pattern.ends_with("norm");
    const bool embedding = pattern == "tok_embeddings";
    Rule rule{.pattern = pattern,
              .style = Style::prepare_input,
              .in = {},
              .want = {},
              .out = {},
              .where = "random.yaml:" + std::to_string(plan.rules.size() + 1)};
    if (container) {
      rule.want = placements[engine_() % 3];
    } else {
      rule.style = norm        ? pick(std::array{Style::replicate, Style::sequence})
                   : embedding ? pick(std::array{Style::replicate, Style::colwise, Style::rowwise})
                               : pick(std::array{Style::replicate, Style::colwise, Style::rowwise, Style::sequence});
      if (!one_in(3)) rule.out = placements[engine_() % (rule.style == Style::rowwise ? 4 : 3)];
    }
    if (one_in(60)) rule.in = pick(placements);
    if (one_in(80)) rule.out = Placement::partial();
    plan.rules.push_back(std::move(rule));
  }

  std::mt19937 engine_;
};

}  // namespace tpsp
