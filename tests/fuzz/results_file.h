// What the targets of both formats of results files do.
#pragma once

#include "target.h"
#include "tpsp/results/results.h"

namespace tpsp {

inline void read_results_file(const std::string& text, const std::string& ending) {
  const ScratchFile file(text, ending);
  reads_or_refuses([&] {
    const auto columns = standard_columns();
    const auto format = format_of(file.path(), columns);
    for (const auto& row : read_results(file.path(), columns)) {
      const auto line = format->line(row);
      const auto again = format->line(format->row(line.substr(0, line.size() - 1)));
      if (again != line) std::abort();
    }
  });
}

}  // namespace tpsp
