// Tries one mutant of the source that this program was built from: run_mutant NUMBER FIRST-CASE. Cases are forwards,
// then training steps. Each is a line with the mutant's number, the verdict, the check's error over its bound, and the
// case's name.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "mutation/cases.h"
#include "mutation/mutant.h"

int main(int argc, char** argv) {
  using namespace tpsp;
  if (argc != 3) return 2;
  const int number = std::atoi(argv[1]);
  auto cases = forward_cases();
  const auto steps = step_cases();
  cases.insert(cases.end(), steps.begin(), steps.end());
  for (auto i = static_cast<std::size_t>(std::atoi(argv[2])); i < cases.size(); ++i) {
    active_mutant = 0;  // while the unmutated run is made
    const auto trial = try_mutation(cases[i], {.activate = [number] { active_mutant = number; }});
    fmt::print("{}\t{}\t{:.3g}\t{}\n", number, to_string(trial.verdict), trial.error, cases[i].name());
    std::fflush(stdout);
  }
}
