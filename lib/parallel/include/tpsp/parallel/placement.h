// How a tensor's global value lies over the ranks, and what turns one placement into another.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tpsp {

/// Activations are token-major, `[seq, batch, feature]`; these are the dimensions that may be sharded.
inline constexpr int seq_dim = 0;
inline constexpr int feature_dim = 2;

/// One of a closed set: replicated on every rank, sharded in equal blocks along one dimension, or a term of a sum over
/// ranks.
class Placement {
 public:
  static constexpr Placement replicate() { return {Kind::replicate, -1}; }
  static constexpr Placement shard(int dim) { return {Kind::shard, dim}; }
  static constexpr Placement partial() { return {Kind::partial, -1}; }

  constexpr bool is_replicate() const { return kind_ == Kind::replicate; }
  constexpr bool is_shard() const { return kind_ == Kind::shard; }
  constexpr bool is_shard(int dim) const { return kind_ == Kind::shard && dim_ == dim; }
  constexpr bool is_partial() const { return kind_ == Kind::partial; }
  constexpr int dim() const { return dim_; }

  constexpr bool operator==(const Placement&) const = default;

 private:
  enum class Kind { replicate, shard, partial };
  constexpr Placement(Kind kind, int dim) : kind_(kind), dim_(dim) {}

  Kind kind_;
  int dim_;
};

/// "replicate", "shard(seq)", "shard(feature)", "partial".
std::string to_string(Placement placement);
/// The inverse; `shard(0)`, `shard(2)` and `shard(-1)` are understood too. Nothing for any other text.
std::optional<Placement> parse_placement(std::string_view text);

/// How the gradient of a value lies that is placed so: of Replicate it is Replicate, of a Shard the same Shard; of
/// Partial it is Replicate, since each term of a sum gets the whole gradient.
Placement gradient_placement(Placement of_value);

/// The one step from a placement to another.
enum class Transition {
  none,
  slice,             ///< Replicate -> Shard: a local view
  all_reduce,        ///< Partial -> Replicate
  reduce_scatter,    ///< Partial -> Shard
  all_gather,        ///< Shard -> Replicate
  all_gather_slice,  ///< Shard(a) -> Shard(b)
};
std::string_view to_string(Transition step);

/// Throws Error (bad_input) for Replicate -> Partial and Shard -> Partial: only a row-wise module leaves a partial sum.
Transition transition(Placement from, Placement to);

}  // namespace tpsp
