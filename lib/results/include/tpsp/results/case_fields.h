// The one list of a case's fields: the columns that show it, the keys that identify it, the options that ask for
// it and the keys of a suite file come from this list.
#pragma once

#include <string>
#include <vector>

#include "tpsp/results/columns.h"

namespace tpsp {

/// What can be asked for on a command line.
enum class Asked { forward, preview, collective };

/// An option that asks for a field, as some commands have it. Empty texts are absent.
struct CaseOption {
  std::vector<Asked> commands;
  std::string name;      ///< without its dashes; also the key in a suite file and in --config
  std::string metavar;   ///< how --help shows the value
  std::string fallback;  ///< the default
  std::string meaning;
  std::string group;        ///< of the help text
  bool repeatable = false;  ///< several values, separated by commas
  bool in_suite = false;    ///< may stand in a suite file
};

struct CaseField {
  Column column;  ///< its cell, where it is neither empty nor Former::absent, is a part of the case's key
  std::vector<CaseOption> options;
};
const std::vector<CaseField>& case_fields();

}  // namespace tpsp
