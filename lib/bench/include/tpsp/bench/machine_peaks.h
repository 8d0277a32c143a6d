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

/// Measures the GEMM that reached the peak once more, after the cases that it is a limit of: the higher rate counts
/// from now on. Returns what was reached now, as a fraction of the best that this GEMM has reached before; 1 where a
/// rank has too little memory for it beside the weights. Collective.
double measure_again(const Sweep& sweep, World& world);

/// Rows of interleaved plans, whose peak was measured before them and then again with `fraction_after` of it: all of
/// them get the peak that is known now. A warning is in those whose GEMMs, or whose forward, were faster than that
/// nevertheless, which raise it once more, and in all where the rate fell by more than 5%. Nothing for rows without
/// peaks.
void look_at_peaks(std::vector<Row>& rows, Peaks& peaks, double fraction_after);

}  // namespace tpsp
