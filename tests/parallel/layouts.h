// The layouts by short names.
#pragma once

#include "tpsp/parallel/layout.h"

namespace tpsp::short_names {

inline constexpr auto whole = Layout::replicate();
inline constexpr auto seq = Layout::shard(seq_dim);
inline constexpr auto feature = Layout::shard(feature_dim);
inline constexpr auto partial = Layout::partial();

}  // namespace tpsp::short_names
