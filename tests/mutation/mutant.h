// Which mutant of the source is active. scripts/mutate.py writes `tpsp::mutant(7) ? (mutated) : (original)` into a copy
// of the sources (mutant schemata: Untch, Offutt and Harrold, 1993), so that one build holds them all.
#pragma once

namespace tpsp {

inline int active_mutant = 0;  ///< 0: none, and in an unchanged build no number does anything

inline bool mutant(int number) { return active_mutant == number; }

}  // namespace tpsp
