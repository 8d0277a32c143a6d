// llama-tiny's sizes, and what the papers say its plans cost (arXiv:1909.08053, arXiv:2205.05198).
#pragma once

#include <cstdint>

#include "support/expected_collectives.h"

namespace tpsp::tiny {

inline constexpr std::int64_t hidden = 96;
inline constexpr std::int64_t layers = 2;
inline constexpr std::int64_t kv_width = 48;  ///< 4 kv heads of 12
inline constexpr std::int64_t ffn = 256;
inline constexpr std::int64_t vocabulary = 515;

inline std::int64_t round_up(std::int64_t size, std::int64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

/// Bytes that a rank sends for `batch * seq` computed tokens. An all-reduce sends 2(t-1)/t of its buffer, a
/// reduce-scatter and an all-gather (t-1)/t each: tp and tp+sp send the same. The logits are gathered last.
inline std::int64_t bytes_sent(std::int64_t tokens, std::int64_t ranks, std::int64_t element) {
  const auto stream = 2 * tokens * hidden * element;
  const auto logits = tokens * round_up(vocabulary, ranks) * element;
  return (expected_reductions(layers) * stream + logits) * (ranks - 1) / ranks;
}

inline std::int64_t weights_bytes(std::int64_t ranks, std::int64_t element) {
  const auto matrices = 2 * hidden * hidden + 2 * hidden * kv_width + 3 * hidden * ffn;
  const auto norms = 2 * layers + 1;
  const auto tables = 2 * round_up(vocabulary, ranks) * hidden;
  return ((layers * matrices + tables) / ranks + norms * hidden) * element;
}

}  // namespace tpsp::tiny
