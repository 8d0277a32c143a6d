// Results as one HTML page that needs no other file and no network.
#pragma once

#include <string>
#include <vector>

#include "tpsp/results/columns.h"

namespace tpsp {

/// A page with the verdicts in words, a table that sorts and filters, plots, the machine, the protocol, the plan files
/// and what the columns mean. Its script draws all of it from the rows, which are in the page as JSON; no text of a row
/// can become markup or code. What a column's absence makes impossible is left out, and the page says so.
///
/// Rows with samples are compared here, as VerdictBook does; others bring the ratio that was measured.
std::string html_report(const std::vector<Row>& rows, const std::vector<Column>& columns);

}  // namespace tpsp
