// Two results files: which cases became faster or slower.
#pragma once

#include <string>
#include <vector>

#include "tpsp/report/columns.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

struct RowPair {
  Row before;
  Row after;
  Ratio ratio;  ///< after's time over before's
};

struct Comparison {
  std::vector<Column> matched_by;
  double margin = 0;
  std::vector<RowPair> pairs;
  std::vector<Row> only_before;
  std::vector<Row> only_after;
};

/// The columns that tell cases apart: model, layers, plan, batch, seq, collective, message_bytes,
/// placement, world, dtype, device, backend, threads.
std::vector<std::string> case_columns();

/// Pairs rows that are equal in the columns `by`; of several such rows in one file the last counts. Rows that are
/// not ok pair with nothing. `margin` as in ratio_of_medians. Throws bad_input for a name in `by` that is no column.
Comparison compare(const std::vector<Row>& before, const std::vector<Row>& after, const std::vector<Column>& columns,
                   const std::vector<std::string>& by, double margin);

/// A table of at most 80 columns: a line for each pair, the rows that match nothing, and the counts of the verdicts.
std::string comparison_table(const Comparison& comparison, bool color);

}  // namespace tpsp
