// Tries mutants of the source that this program was built from: run_mutant FIRST LAST. For each one a line with its
// number, its worst verdict, how many of the cases had which, and the smallest error of those that the check caught.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>

#include "mutation/cases.h"
#include "mutation/mutant.h"

namespace {

void try_mutant(int number) {
  using namespace tpsp;
  std::array<int, 4> counts{};
  double smallest = std::numeric_limits<double>::infinity();
  std::string example;
  for (const auto& which : mutation_cases()) {
    active_mutant = 0;
    const auto trial = try_mutation(which, {.activate = [number] { active_mutant = number; }});
    active_mutant = 0;
    counts[static_cast<std::size_t>(trial.verdict)] += 1;
    if (trial.verdict == Verdict::caught) smallest = std::min(smallest, trial.error);
    if (trial.verdict == Verdict::survived) example = fmt::format("{}, {:.3g} of the bound", which.name(), trial.error);
  }
  const auto worst = counts[3] > 0   ? Verdict::survived
                     : counts[2] > 0 ? Verdict::caught
                     : counts[1] > 0 ? Verdict::refused
                                     : Verdict::unchanged;
  fmt::print("{}\t{}\tunchanged {}, refused {}, caught {}, survived {}\t{:.3g}\t{}\n", number, to_string(worst),
             counts[0], counts[1], counts[2], counts[3], smallest, example);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (int number = std::atoi(argv[1]); number <= std::atoi(argv[2]); ++number) {
    try_mutant(number);
    std::fflush(stdout);
  }
}
