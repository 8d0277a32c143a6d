// Small tables of text columns, for tests that read entire files.
#pragma once

#include <string>
#include <vector>

#include "tpsp/results/columns.h"

namespace tpsp {

template <auto Member>
Column text_column(const std::string& name) {
  return {.name = name,
          .unit = {},
          .meaning = name,
          .source = name,
          .get = [](const Row& row) { return Value(row.*Member); },
          .set = [](Row& row, const Value& value) { row.*Member = text(value); },
          .detail = Detail::brief};
}

inline std::vector<Column> two_columns() {
  return {text_column<&Row::plan>("plan"), text_column<&Row::message>("message")};
}

}  // namespace tpsp
