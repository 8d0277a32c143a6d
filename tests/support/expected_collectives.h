// What tp and tp+sp send, by the arithmetic of the paper and not by the program.
#pragma once

#include <cstdint>

namespace tpsp {

/// Reductions over the ranks in one forward: after the embedding, and after the attention and the feed-forward of each
/// layer (Korthikanti et al., 2022). tp makes them all-reduces; tp+sp makes each a reduce-scatter and an all-gather.
constexpr std::int64_t expected_reductions(std::int64_t layers) { return 2 * layers + 1; }

/// Both gather the logits once.
constexpr std::int64_t expected_logit_gathers = 1;

}  // namespace tpsp
