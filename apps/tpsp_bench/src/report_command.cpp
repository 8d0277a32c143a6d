#include <fmt/format.h>

#include "choices.h"
#include "commands.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"
#include "tpsp/report/html.h"
#include "tpsp/results/results.h"

namespace tpsp {

void report_command(const CommandLine& line, const Parts& parts) {
  const Settings settings(line);
  const auto& results = line.files.front();
  const auto& [output, where] = settings.at("output");
  refuse_results_file(output, where);
  const auto rows = read_results(results, parts.columns);
  if (rows.empty()) {
    throw bad_input({.where = results, .what = "it has no rows", .remedy = "measure something into it first"});
  }
  write_file(output, html_report(rows, parts.columns));
  fmt::print("{} rows of {} are shown in {}\n", rows.size(), results, output);
}

}  // namespace tpsp
