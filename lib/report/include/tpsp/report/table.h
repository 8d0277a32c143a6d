// Results as a table that grows while the cases run, for a person at a terminal of 80 columns.
#pragma once

#include <iosfwd>
#include <set>
#include <string>
#include <vector>

#include "tpsp/results/row.h"
#include "tpsp/results/verdicts.h"

namespace tpsp {

/// Prints one line a row and flushes it. Rows of collectives have a table of their own, with nccl-tests' columns. What
/// the rows share (model, layers, batch, dtype, world, device, backend, threads) stands above them with the header,
/// again whenever it changes. A row that is not ok, or whose check failed, is red when `color` is on and has its
/// message on the lines below; the warnings of any row follow it, each explained once.
class TablePrinter {
 public:
  TablePrinter(std::ostream& out, bool color) : out_(out), color_(color) {}

  /// Prints lines of the caller's, such as the version and the output file, before the table.
  void title(const std::vector<std::string>& lines);
  void row(const Row& row);
  /// Prints each verdict in words, under what was measured.
  void verdicts(const std::vector<PlanVerdict>& verdicts);

 private:
  void heading(const Row& row);
  void warnings(const std::vector<Warning>& warnings);
  void indented(const std::string& text, const char* style);

  std::ostream& out_;
  bool color_;
  bool blank_line_due_ = false;      ///< something stands above the next heading
  std::set<std::string> explained_;  ///< warnings
  std::string shared_;               ///< what the rows since the last heading share
};

}  // namespace tpsp
