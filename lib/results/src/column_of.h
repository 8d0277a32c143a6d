// A column that shows one field of a row as it is.
#pragma once

#include <concepts>
#include <utility>

#include "tpsp/results/columns.h"
#include "values.h"

namespace tpsp {

inline constexpr auto brief = Detail::brief;
inline constexpr auto raw = Detail::raw;

template <typename Field>
constexpr Kind kind = std::integral<Field>         ? Kind::integer
                      : std::floating_point<Field> ? Kind::number
                                                   : Kind::text;
template <typename Field>
constexpr Kind kind<std::optional<Field>> = kind<Field>;
template <typename Element>
constexpr Kind kind<std::vector<Element>> = Kind::list;
template <>
constexpr Kind kind<std::vector<Warning>> = Kind::words;
template <typename Field, typename Owner>
constexpr Kind kind_of(Field Owner::*) {
  return kind<Field>;
}
template <typename Field, typename Owner>
constexpr Subject subject_of(Field Owner::*) {
  if (std::same_as<Owner, Case>) return Subject::the_case;
  return std::same_as<Owner, Provenance> ? Subject::the_run : Subject::measurement;
}

/// `Member` is a field of Row or of what a row is made of.
template <auto Member>
Column column_of(const char* name, const char* unit, const char* meaning, const char* source,
                 Detail detail = Detail::full) {
  return {.name = name,
          .unit = unit,
          .meaning = meaning,
          .source = source,
          .get = [](const Row& row) { return value_of(row.*Member); },
          .set = [](Row& row, const Value& value) { read(value, row.*Member); },
          .detail = detail,
          .kind = kind_of(Member),
          .subject = subject_of(Member)};
}

/// A count that only a forward has: 0 is an empty cell.
template <auto Member>
Column count_of_model(const char* name, const char* unit, const char* meaning, const char* source,
                      Detail detail = Detail::full) {
  auto column = column_of<Member>(name, unit, meaning, source, detail);
  column.get = [](const Row& row) { return row.*Member == 0 ? Value() : value_of(row.*Member); };
  column.set = [](Row& row, const Value& value) {
    row.*Member = 0;
    if (!std::holds_alternative<std::monostate>(value)) read(value, row.*Member);
  };
  return column;
}

/// Of a column's cell what a case is told from others by: empty too where it says what an empty one stands for.
inline std::string case_text(const Column& column, const Row& row) {
  auto cell = text(column.get(row));
  return cell == column.former.absent ? std::string() : cell;
}

/// `column` with what it and its values were called in an earlier schema; both are read as what they are called now.
inline Column with_former(Column column, Former former) {
  column.set = [set = std::move(column.set), values = former.values](Row& row, const Value& value) {
    for (const auto& [then, now] : values) {
      if (value == Value(then)) return set(row, now);
    }
    set(row, value);
  };
  column.former = std::move(former);
  return column;
}

}  // namespace tpsp
