#include <fmt/format.h>

#include <algorithm>

#include "choices.h"
#include "commands.h"
#include "terminal.h"
#include "tpsp/core/error.h"
#include "tpsp/report/compare_table.h"
#include "tpsp/results/results.h"

namespace tpsp {
namespace {

constexpr double percent = 0.01;

std::vector<std::string> fail_on_setting(const Settings& settings) {
  if (!settings.has("fail-on")) return {};
  const std::vector<std::string> choices{"slower", "faster", "undecided", "unmatched", "worse-numbers"};
  const auto words = words_of(settings.at("fail-on"));
  for (const auto& word : words) require_choice(word, settings.at("fail-on").where, choices);
  return words;
}

bool fails(const Comparison& comparison, const std::string& on) {
  if (on == "unmatched") {
    return !comparison.only_before.empty() || !comparison.only_after.empty() || !comparison.unmeasured.empty();
  }
  if (on == "worse-numbers") {
    return std::any_of(comparison.pairs.begin(), comparison.pairs.end(),
                       [](const RowPair& pair) { return pair.error_growth.has_value(); });
  }
  return std::any_of(comparison.pairs.begin(), comparison.pairs.end(),
                     [&](const RowPair& pair) { return to_string(pair.ratio.verdict) == on; });
}

}  // namespace

ExitCode compare_command(const CommandLine& line, const Parts& parts) {
  const Settings settings(line);
  const auto margin = percent * real_setting(settings, "margin", 0, 100);
  const auto by = settings.has("match") ? words_of(settings.at("match")) : std::vector<std::string>();
  const auto fail_on = fail_on_setting(settings);
  const auto comparison = compare(read_results(line.files.at(0), parts.columns),
                                  read_results(line.files.at(1), parts.columns), parts.columns, by, margin);
  fmt::print("{}", comparison_table(comparison, wants_color()));
  // Then it is the matching that is wrong; a file without rows has lost its cases.
  const bool none_match = comparison.pairs.empty() && comparison.unmeasured.empty() && !comparison.only_after.empty();
  if (!fail_on.empty() && comparison.broken_after > 0 && !none_match) return ExitCode::rows_not_ok;
  if (comparison.pairs.empty() && !fail_on.empty()) {
    throw bad_input({.where = "--fail-on",
                     .what = "no row of one file matches one of the other",
                     .why = "so nothing can be said of them",
                     .remedy = "see --match"});
  }
  const bool failed =
      std::any_of(fail_on.begin(), fail_on.end(), [&](const auto& on) { return fails(comparison, on); });
  return failed ? ExitCode::rows_not_ok : ExitCode::ok;
}

}  // namespace tpsp
