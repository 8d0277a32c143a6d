// What the machine can do at best, as a run comes to know it: measured before its cases, and raised by what they reach.
#pragma once

#include "tpsp/bench/row.h"
#include "tpsp/bench/sweep.h"

namespace tpsp {

/// The peaks of the slowest rank, all ranks measuring at the same time, with products of the sweep's own sizes among
/// those that are tried. Small cases are worth less time than large ones. Collective.
Peaks machine_peaks(const Sweep& sweep, World& world);

/// Each the larger one.
void raise(Peaks& peaks, const Peaks& seen);

/// A row whose products, or whose forward, were faster than the peak: it gets a warning, and the rows after it the peak
/// that it reached. Nothing for a row without peaks.
void look_at_peak(Row& row, Peaks& peaks);

}  // namespace tpsp
