// How many fields an aggregate has, bases counted as one each, so that a test notices one that nobody looks at.
#pragma once

#include <cstddef>
#include <utility>

namespace tpsp {

/// Becomes whatever a field is made of.
struct AnyField {
  template <typename Field>
  operator Field() const;
};

template <typename Aggregate, std::size_t... Index>
constexpr bool has_fields(std::index_sequence<Index...>) {
  return requires { Aggregate{((void)Index, AnyField{})...}; };
}

/// The largest number of values that it can be made of.
template <typename Aggregate, std::size_t Count = 160>
constexpr std::size_t field_count() {
  if constexpr (has_fields<Aggregate>(std::make_index_sequence<Count>())) {
    return Count;
  } else {
    return field_count<Aggregate, Count - 1>();
  }
}

}  // namespace tpsp
