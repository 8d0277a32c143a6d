#include "output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

#include "terminal.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

Progress::Kind progress_kind(bool quiet) {
  if (quiet) return Progress::Kind::none;
  return stdout_is_terminal() ? Progress::Kind::line : Progress::Kind::log;
}

}  // namespace

Output::Output(const OutputPlan& plan, const std::vector<Column>& columns, const World& world, bool quiet,
               spdlog::logger& log)
    : outs_(plan.outs) {
  if (world.rank() != 0) return;
  files_.emplace(plan.outs, columns, plan.resume);
  for (auto row : files_->done()) {
    keys_.insert(row.key);
    book_.add(row);
  }
  progress_.emplace(progress_kind(quiet), plan.rows, plan.work, log);
  if (!quiet) table_.emplace(std::cout, wants_color());
}

// The progress line gives way to what is printed.
void Output::print(const std::function<void(TablePrinter&)>& what) {
  if (!table_) return;
  progress_->clear();
  what(*table_);
  if (std::cout) return;
  throw Error(ExitCode::output_failed, {.where = "stdout",
                                        .what = "the table can not be written",
                                        .why = errno == 0 ? "" : std::strerror(errno),
                                        .remedy = "free space where it is sent to, or use --quiet"});
}

void Output::title(const Provenance& run) {
  std::vector<std::string> names;
  for (const auto& out : outs_) names.push_back(out.string());
  print([&](TablePrinter& table) {
    table.title(
        {fmt::format("tpsp-bench {} · run {}", run.version, run.run_id), fmt::format("rows in {}", join(names, ", "))});
  });
}

void Output::step(const std::string& what, std::string_view phase, int done) {
  if (progress_) progress_->step(what, phase, done);
}

void Output::leave_out(double work) {
  if (progress_) progress_->left_out(work);
}

void Output::add(Row row, double work) {
  if (!files_) return;
  if (keys_.insert(row.key).second) {
    const auto verdicts = book_.add(row);
    verdicts_.insert(verdicts_.end(), verdicts.begin(), verdicts.end());
    files_->add(row);
  }
  progress_->row_done(work);
  print([&](TablePrinter& table) { table.row(row); });
}

void Output::finish() {
  print([&](TablePrinter& table) { table.verdicts(verdicts_); });
}

}  // namespace tpsp
