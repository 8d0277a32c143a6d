#include "tpsp/report/html.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "report_page.h"
#include "tpsp/results/results.h"
#include "tpsp/results/verdicts.h"

namespace tpsp {
namespace {

using Json = nlohmann::ordered_json;

/// Integers beyond these are not exact as the numbers of a script.
constexpr std::int64_t largest_exact = std::int64_t{1} << 53;

struct RowVerdict {
  std::size_t row = 0;
  PlanVerdict verdict;
};

Json json_of(const Column& column) {
  return {{"name", column.name},
          {"unit", column.unit},
          {"meaning", column.meaning},
          {"source", column.source},
          {"detail", std::string(to_string(column.detail))}};
}

Json json_of(const RowVerdict& found) {
  const auto& [plan, baseline, seq, ratio, subject, across_runs] = found.verdict;
  Json json = {{"row", found.row}, {"plan", plan},         {"baseline", baseline},
               {"seq", seq},       {"ratio", ratio.value}, {"verdict", std::string(to_string(ratio.verdict))}};
  if (ratio.interval) {
    json["low"] = ratio.interval->low;
    json["high"] = ratio.interval->high;
  }
  json["across_runs"] = across_runs;
  json["words"] = in_words(found.verdict);
  return json;
}

Json warnings_of(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const Warning& warning : rows[i].warnings) {
      list.push_back({{"row", i}, {"flag", warning.flag}, {"text", warning.text}});
    }
  }
  return list;
}

template <typename Element>
Json list_of(const std::vector<Element>& elements) {
  Json list = Json::array();
  for (const Element& element : elements) list.push_back(json_of(element));
  return list;
}

Value exact_in_script(const Value& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    if (*number > std::uint64_t{largest_exact}) return text(value);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (*number > largest_exact || *number < -largest_exact) return text(value);
  }
  return value;
}

std::vector<Column> exact_in_script(std::vector<Column> columns) {
  for (Column& column : columns) {
    column.get = [get = std::move(column.get)](const Row& row) { return exact_in_script(get(row)); };
  }
  return columns;
}

/// Whether the plan that `row` names as its baseline was measured in the run of `row`.
bool has_baseline_in_run(const Row& row, const std::vector<Row>& rows) {
  return std::any_of(rows.begin(), rows.end(), [&](const Row& other) {
    return other.run_id == row.run_id && other.case_id == row.case_id && other.plan == row.baseline;
  });
}

/// The one verdict that a row without samples brings; across runs it is what the interval says with the margin.
PlanVerdict brought_verdict(const Row& row, const std::vector<Row>& rows) {
  PlanVerdict found{row.plan, row.baseline, row.seq, {*row.ratio, std::nullopt, Verdict::undecided}, {}};
  if (row.ratio_low && row.ratio_high) found.ratio.interval = Interval{*row.ratio_low, *row.ratio_high};
  for (const Verdict verdict : {Verdict::faster, Verdict::same, Verdict::slower}) {
    if (row.verdict == to_string(verdict)) found.ratio.verdict = verdict;
  }
  found.across_runs = !has_baseline_in_run(row, rows);
  if (found.across_runs) {
    const Median brought{.value = *row.ratio, .interval = found.ratio.interval};
    const Median one{.value = 1, .interval = Interval{.low = 1, .high = 1}};
    found.ratio.verdict = ratio_of_medians(brought, one, margin_between_runs).verdict;
  }
  return found;
}

/// The case and the two plans, whichever is the baseline.
std::tuple<std::string, std::string, std::string> pair_of(const Row& row, const PlanVerdict& verdict) {
  const auto [first, second] = std::minmax(verdict.plan, verdict.baseline);
  return {row.case_id, first, second};
}

/// What the rows of each run say about each other; fills it in.
std::vector<RowVerdict> compare_within_runs(std::vector<Row>& rows) {
  std::map<std::string, VerdictBook> books;
  std::vector<RowVerdict> result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].ratio && rows[i].samples_s.empty()) {
      if (!rows[i].collective.empty()) continue;
      result.push_back({i, brought_verdict(rows[i], rows)});
      fill(rows[i], result.back().verdict);
    } else {
      clear_verdict(rows[i]);
      for (PlanVerdict& verdict : books[rows[i].run_id].add(rows[i])) result.push_back({i, std::move(verdict)});
    }
  }
  return result;
}

/// Fills in what the rows say about each other: of two plans of one case first those of one run, and across runs only
/// where no run measured both.
std::vector<RowVerdict> compare_plans(std::vector<Row>& rows) {
  std::vector<RowVerdict> result = compare_within_runs(rows);
  std::set<std::tuple<std::string, std::string, std::string>> known;
  for (const RowVerdict& found : result) known.insert(pair_of(rows[found.row], found.verdict));
  VerdictBook book;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Row copy = rows[i];
    for (PlanVerdict& verdict : book.add(copy)) {
      if (!verdict.across_runs || known.contains(pair_of(copy, verdict))) continue;
      if (!rows[i].ratio) fill(rows[i], verdict);
      result.push_back({i, std::move(verdict)});
    }
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.row < b.row; });
  return result;
}

std::string json_of(const std::vector<Row>& rows, const std::vector<Column>& columns) {
  const auto format = format_of("report.jsonl", exact_in_script(columns));
  std::string lines;
  for (const Row& row : rows) lines += (lines.empty() ? "" : ",") + format->line(row);
  return lines;
}

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// JSON that can stand in a script element: there, "</script" and "<!--" would end or change what is read. Outside of
/// strings JSON has none of these characters.
std::string inert(std::string_view json) {
  std::string result;
  result.reserve(json.size());
  for (const char c : json) {
    switch (c) {
      case '<': result += "\\u003c"; break;
      case '>': result += "\\u003e"; break;
      case '&': result += "\\u0026"; break;
      default: result += c;
    }
  }
  for (const auto& [separator, escaped] : {std::pair{"\u2028", "\\u2028"}, std::pair{"\u2029", "\\u2029"}}) {
    for (auto at = result.find(separator); at != std::string::npos; at = result.find(separator, at)) {
      result.replace(at, std::string_view(separator).size(), escaped);
    }
  }
  return result;
}

}  // namespace

std::string html_report(const std::vector<Row>& rows, const std::vector<Column>& columns) {
  std::vector<Row> compared = rows;
  const std::vector<RowVerdict> verdicts = compare_plans(compared);
  const std::string data = "{\"columns\":" + dumped(list_of(columns)) + ",\n\"verdicts\":" + dumped(list_of(verdicts)) +
                           ",\n\"warnings\":" + dumped(warnings_of(compared)) + ",\n\"rows\":[\n" +
                           json_of(compared, columns) + "]}";
  const ReportPage page = report_page();
  return std::string(page.before_data) + inert(data) + std::string(page.after_data);
}

}  // namespace tpsp
