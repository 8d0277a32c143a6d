// Faults that a transport or a rank's weights may have, put into a running forward.
#pragma once

#include <string>
#include <vector>

#include "mutation/cases.h"

namespace tpsp {

struct Fault {
  std::string name;  ///< "collective 3: result of the call before, on rank 1"
  Injection injection;
};

/// What one collective of a forward returns, or sends, is wrong: for each of the first `calls` collectives and each way
/// to be wrong, on rank 1 alone or on all.
std::vector<Fault> collective_faults(int calls);

/// A weight's shard on the last rank is wrong: for each kind of module and each way to be wrong.
std::vector<Fault> weight_faults();

}  // namespace tpsp
