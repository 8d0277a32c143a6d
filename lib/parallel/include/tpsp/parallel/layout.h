// How a tensor's global value lies over the ranks, and what turns one layout into another.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tpsp {

/// Activations are token-major, `[seq, batch, feature]`; these are the dimensions a shard may cut.
inline constexpr int seq_dim = 0;
inline constexpr int feature_dim = 2;

/// One of a closed set: whole on every rank, cut in equal blocks along one dimension, or a term of a sum over ranks.
class Layout {
 public:
  static constexpr Layout replicate() { return {Kind::replicate, -1}; }
  static constexpr Layout shard(int dim) { return {Kind::shard, dim}; }
  static constexpr Layout partial() { return {Kind::partial, -1}; }

  constexpr bool is_replicate() const { return kind_ == Kind::replicate; }
  constexpr bool is_shard() const { return kind_ == Kind::shard; }
  constexpr bool is_shard(int dim) const { return kind_ == Kind::shard && dim_ == dim; }
  constexpr bool is_partial() const { return kind_ == Kind::partial; }
  constexpr int dim() const { return dim_; }

  constexpr bool operator==(const Layout&) const = default;

 private:
  enum class Kind { replicate, shard, partial };
  constexpr Layout(Kind kind, int dim) : kind_(kind), dim_(dim) {}

  Kind kind_;
  int dim_;
};

/// "replicate", "shard(seq)", "shard(feature)", "partial".
std::string to_string(Layout layout);
/// The inverse; `shard(0)`, `shard(2)` and `shard(-1)` are understood too. Nothing for any other text.
std::optional<Layout> parse_layout(std::string_view text);

/// The one step from a layout to another.
enum class Transition {
  none,
  slice,             ///< Replicate -> Shard: a local view
  all_reduce,        ///< Partial -> Replicate
  reduce_scatter,    ///< Partial -> Shard
  all_gather,        ///< Shard -> Replicate
  all_gather_slice,  ///< Shard(a) -> Shard(b)
};
std::string_view to_string(Transition step);

/// Throws Error (bad_input) for Replicate -> Partial and Shard -> Partial: only a product leaves a partial sum.
Transition transition(Layout from, Layout to);

}  // namespace tpsp
