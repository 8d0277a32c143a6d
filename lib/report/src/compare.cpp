#include "tpsp/report/compare.h"

#include <algorithm>
#include <map>

#include "formats.h"
#include "medians.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

using Case = std::vector<std::string>;

std::vector<Column> columns_of(const std::vector<std::string>& names, const std::vector<Column>& columns) {
  std::vector<Column> result;
  for (const std::string& name : names) {
    const auto place =
        std::find_if(columns.begin(), columns.end(), [&](const Column& column) { return column.name == name; });
    if (place == columns.end()) {
      throw bad_input({"--match", "there is no column " + quote(name), {}, suggest(name, names_of(columns))});
    }
    result.push_back(*place);
  }
  return result;
}

Case case_of(const Row& row, const std::vector<Column>& by) {
  Case cells;
  for (const Column& column : by) cells.push_back(text(column.get(row)));
  return cells;
}

/// The rows in their order; of several with the same case the last, in the place of the first.
struct Cases {
  std::vector<Row> rows;
  std::map<Case, std::size_t> places;
};

Cases cases_of(const std::vector<Row>& rows, const std::vector<Column>& by) {
  Cases cases;
  for (const Row& row : rows) {
    const auto [place, is_new] = cases.places.emplace(case_of(row, by), cases.rows.size());
    if (is_new) {
      cases.rows.push_back(row);
    } else {
      cases.rows[place->second] = row;
    }
  }
  return cases;
}

const Row* partner(const Cases& cases, const Case& wanted) {
  const auto place = cases.places.find(wanted);
  if (place == cases.places.end() || !is_measured(cases.rows[place->second])) return nullptr;
  return &cases.rows[place->second];
}

}  // namespace

std::vector<std::string> case_columns() {
  return {"model",     "layers", "plan",  "batch",  "seq",     "collective", "message_bytes",
          "placement", "world",  "dtype", "device", "backend", "threads"};
}

Comparison compare(const std::vector<Row>& before, const std::vector<Row>& after, const std::vector<Column>& columns,
                   const std::vector<std::string>& by, double margin) {
  Comparison result{
      .matched_by = columns_of(by, columns), .margin = margin, .pairs = {}, .only_before = {}, .only_after = {}};
  const Cases old_cases = cases_of(before, result.matched_by);
  const Cases new_cases = cases_of(after, result.matched_by);
  for (const Row& row : old_cases.rows) {
    const Row* match = is_measured(row) ? partner(new_cases, case_of(row, result.matched_by)) : nullptr;
    if (match == nullptr) {
      result.only_before.push_back(row);
    } else {
      result.pairs.push_back({row, *match, ratio_of_medians(median_of(*match), median_of(row), margin)});
    }
  }
  for (const Row& row : new_cases.rows) {
    if (!is_measured(row) || partner(old_cases, case_of(row, result.matched_by)) == nullptr) {
      result.only_after.push_back(row);
    }
  }
  return result;
}

}  // namespace tpsp
