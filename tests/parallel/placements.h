// The placements by short names.
#pragma once

#include "tpsp/parallel/placement.h"

namespace tpsp::short_names {

inline constexpr auto replicate = Placement::replicate();
inline constexpr auto seq = Placement::shard(seq_dim);
inline constexpr auto feature = Placement::shard(feature_dim);
inline constexpr auto partial = Placement::partial();

}  // namespace tpsp::short_names
