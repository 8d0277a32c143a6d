#include "tpsp/results/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "column_of.h"
#include "formats.h"
#include "tpsp/core/dtype.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/results/case_fields.h"
#include "tpsp/results/measured.h"

namespace tpsp {
namespace {

using CaseCells = std::vector<std::string>;

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

CaseCells case_of(const Row& row, const std::vector<Column>& by) {
  CaseCells cells;
  for (const Column& column : by) cells.push_back(case_text(column, row));
  return cells;
}

/// The rows of each case in the order of its first, of each run the last.
struct Cases {
  std::vector<std::vector<Row>> runs;
  std::map<CaseCells, std::size_t> places;
};

Cases cases_of(const std::vector<Row>& rows, const std::vector<Column>& by) {
  Cases cases;
  for (const Row& row : rows) {
    const auto [place, is_new] = cases.places.emplace(case_of(row, by), cases.runs.size());
    if (is_new) cases.runs.emplace_back();
    auto& runs = cases.runs[place->second];
    const auto same = std::find_if(runs.begin(), runs.end(), [&](const Row& run) { return run.run_id == row.run_id; });
    if (same == runs.end()) {
      runs.push_back(row);
    } else {
      *same = row;
    }
  }
  return cases;
}

/// Rows of one file that are equal in `by` and differ in `column`.
std::size_t differing(const std::vector<Row>& rows, const std::vector<Column>& by, const Column& column) {
  std::map<CaseCells, std::string> first;
  return static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), [&](const Row& row) {
    const std::string value = text(column.get(row));
    return first.emplace(case_of(row, by), value).first->second != value;
  }));
}

std::vector<std::string> values_of(const std::vector<Row>& rows, const Column& column) {
  std::set<std::string> values;
  for (const Row& row : rows) values.insert(text(column.get(row)));
  return {values.begin(), values.end()};
}

bool have_common(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const auto& value) { return std::binary_search(b.begin(), b.end(), value); });
}

/// Matches by the default columns.
void match_as_usual(Comparison& comparison, const std::vector<Row>& before, const std::vector<Row>& after,
                    const std::vector<Column>& columns) {
  auto& by = comparison.matched_by;
  by = columns_of(case_columns(), columns);
  for (const Column& column : columns_of({"suite", "order", "weights", "host", "device_name", "build", "version",
                                          "torch_version", "mpi_version", "cuda_version", "nccl_version", "key"},
                                         columns)) {
    if (differing(before, by, column) + differing(after, by, column) == 0) continue;
    const auto old_values = values_of(before, column);
    const auto new_values = values_of(after, column);
    if (have_common(old_values, new_values)) {
      by.push_back(column);
    } else if (!before.empty() && !after.empty()) {
      comparison.notes.push_back(
          fmt::format("Not matched by {}, which has no value that is in both files: {} before, {} after.", column.name,
                      quote(join(old_values, ", ")), quote(join(new_values, ", "))));
    }
  }
}

bool is_broken(const Row& row, bool measured_before) {
  return row.status == Status::failed || row.check == Check::fail || (measured_before && row.status != Status::ok);
}

std::vector<Row> measured(const std::vector<Row>& runs) {
  std::vector<Row> result;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(result), is_measured);
  return result;
}

std::vector<double> latencies(const std::vector<Row>& runs) {
  std::vector<double> times;
  for (const Row& run : runs) times.push_back(*run.latency_s);
  return times;
}

double geometric_mean(const std::vector<double>& times) {
  double sum = 0;
  for (const double time : times) sum += std::log(time);
  return std::exp(sum / static_cast<double>(times.size()));
}

Row with_largest_error(std::vector<Row> runs) {
  return *std::max_element(runs.begin(), runs.end(), [](const Row& a, const Row& b) {
    return a.max_rel_err.value_or(-1) < b.max_rel_err.value_or(-1);
  });
}

RowPair pair_of(const std::vector<Row>& before, const std::vector<Row>& after, double margin) {
  const auto old_times = latencies(before);
  const auto new_times = latencies(after);
  RowPair pair{.before = before.back(),
               .after = after.back(),
               .before_s = geometric_mean(old_times),
               .after_s = geometric_mean(new_times),
               .runs_before = static_cast<int>(before.size()),
               .runs_after = static_cast<int>(after.size()),
               .ratio = {},
               .error_growth = error_growth(with_largest_error(before), with_largest_error(after))};
  const bool one_run_each = before.size() == 1 && after.size() == 1;
  pair.ratio = one_run_each ? ratio_of_medians(median_of(pair.after), median_of(pair.before), margin)
                            : ratio_of_runs(new_times, old_times, margin);
  return pair;
}

/// Takes a case that both files have.
void add(Comparison& comparison, const std::vector<Row>& before, const std::vector<Row>& after) {
  const auto old_runs = measured(before);
  const auto new_runs = measured(after);
  const auto broken =
      std::count_if(after.begin(), after.end(), [&](const Row& row) { return is_broken(row, !old_runs.empty()); });
  comparison.broken_after += static_cast<std::size_t>(broken);
  if (old_runs.empty() || new_runs.empty()) {
    comparison.unmeasured.push_back(
        {old_runs.empty() ? before.back() : old_runs.back(), new_runs.empty() ? after.back() : new_runs.back()});
    return;
  }
  comparison.pairs.push_back(pair_of(old_runs, new_runs, comparison.margin));
  comparison.pairs.back().broken_after = static_cast<int>(broken);
}

/// What differs between the files in machine and build type; versions differ on purpose.
void note_machines(Comparison& comparison, const std::vector<Row>& before, const std::vector<Row>& after,
                   const std::vector<Column>& columns) {
  if (before.empty() || after.empty()) return;
  std::vector<std::string> parts;
  for (const Column& column : columns_of({"host", "device_name", "build"}, columns)) {
    const auto old_values = join(values_of(before, column), ", ");
    const auto new_values = join(values_of(after, column), ", ");
    if (old_values != new_values) {
      parts.push_back(fmt::format("{} {} before, {} after", column.name, quote(old_values), quote(new_values)));
    }
  }
  if (!parts.empty()) comparison.notes.push_back("Not the same machine or build: " + join(parts, "; ") + ".");
}

void note_merged(Comparison& comparison, const std::vector<Row>& rows, const char* which,
                 const std::vector<Column>& columns) {
  const auto merged = differing(rows, comparison.matched_by, columns_of({"key"}, columns).front());
  if (merged == 0) return;
  comparison.notes.push_back(
      fmt::format("The file {}: {} {} for the case of others with another key; of each run the last counts.", which,
                  counted(static_cast<std::int64_t>(merged), "row"), merged == 1 ? "counts" : "count"));
}

}  // namespace

std::vector<std::string> case_columns() {
  std::vector<std::string> names;
  for (const auto& field : case_fields()) {
    if (field.column.detail != Detail::raw) names.push_back(field.column.name);
  }
  return names;
}

std::optional<ErrorGrowth> error_growth(const Row& before, const Row& after) {
  // The same kernels and backend give the same bits, other kernels round at other points; one more rounding, as large
  // as all others together, makes the error 1.41 times as large.
  constexpr double clearly = 1.35;
  const auto facts = [](const Row& row) {
    return std::tie(row.model, row.layers, row.plan, row.batch, row.seq, row.dtype, row.seed);
  };
  if (!before.max_rel_err || !after.max_rel_err || facts(before) != facts(after)) return std::nullopt;
  const bool same_check = before.error_bound.has_value() == after.error_bound.has_value();
  if (!same_check) return std::nullopt;  // rows without a bound have had another reference
  const double rounding = unit_roundoff(parse_dtype(after.dtype).value_or(Dtype::fp32));
  if (*after.max_rel_err <= clearly * std::max(*before.max_rel_err, rounding)) return std::nullopt;
  return ErrorGrowth{.before = *before.max_rel_err, .after = *after.max_rel_err};
}

Comparison compare(const std::vector<Row>& before, const std::vector<Row>& after, const std::vector<Column>& columns,
                   const std::vector<std::string>& by, double margin) {
  Comparison result;
  result.margin = margin;
  if (by.empty()) {
    match_as_usual(result, before, after, columns);
  } else {
    result.matched_by = columns_of(by, columns);
  }
  note_machines(result, before, after, columns);
  note_merged(result, before, "before", columns);
  note_merged(result, after, "after", columns);
  const Cases old_cases = cases_of(before, result.matched_by);
  const Cases new_cases = cases_of(after, result.matched_by);
  for (const auto& runs : old_cases.runs) {
    const auto match = new_cases.places.find(case_of(runs.front(), result.matched_by));
    if (match == new_cases.places.end()) {
      result.only_before.push_back(runs.back());
      if (!measured(runs).empty()) ++result.broken_after;
    } else {
      add(result, runs, new_cases.runs[match->second]);
    }
  }
  for (const auto& runs : new_cases.runs) {
    if (old_cases.places.contains(case_of(runs.front(), result.matched_by))) continue;
    result.only_after.push_back(runs.back());
    result.broken_after += static_cast<std::size_t>(
        std::count_if(runs.begin(), runs.end(), [](const Row& row) { return is_broken(row, false); }));
  }
  return result;
}

}  // namespace tpsp
