// What the machine can do at best, as a run comes to know it: measured before its cases, and raised by what they reach.
#pragma once

#include <vector>

#include "tpsp/bench/sweep.h"
#include "tpsp/results/row.h"

namespace tpsp {

/// The peaks of the slowest rank, all ranks measuring at the same time, with GEMMs of the sweep's own sizes among
/// those that are tried. Small cases are worth less time than large ones. Collective.
Peaks machine_peaks(const Sweep& sweep, World& world);

/// Each the larger one.
void raise(Peaks& peaks, const Peaks& seen);

/// Rows of interleaved plans. Those whose GEMMs, or whose forward, were faster than the peak get a warning, and all
/// of these rows and those after them the peak that was reached. Nothing for rows without peaks.
void look_at_peaks(std::vector<Row>& rows, Peaks& peaks);

}  // namespace tpsp
