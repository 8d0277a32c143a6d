// Errors that a user can act on, and the exit code each one ends the program with.
#pragma once

#include <stdexcept>
#include <string>

namespace tpsp {

/// What the program returns to the shell.
enum class ExitCode : int {
  ok = 0,
  internal = 1,       ///< a defect of tpsp-bench, whatever the input was
  bad_input = 2,      ///< usage, configuration or a world size that does not fit
  rows_not_ok = 3,    ///< a row ran out of memory or was skipped, or a comparison found what it was to fail on
  check_failed = 4,   ///< the numbers of a row are wrong
  timed_out = 5,      ///< a rank kept the others waiting
  output_failed = 6,  ///< an output could not be written
};

/// The four parts of every message: `<where>: <what> (<why>); <remedy>`. Empty parts are left out.
struct Complaint {
  std::string where;
  std::string what;
  std::string why{};
  std::string remedy{};

  std::string text() const;
};

/// The one exception type of tpsp-bench; `what()` is the complaint's text.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const Complaint& complaint);
  /// A message made elsewhere, such as on another rank.
  Error(ExitCode code, const std::string& message);

  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// A rank has left a collective, or what led to it, for good: thrown on the ranks that wait for it there, and by the
/// rank itself. The others can go on together once they have all left it (ProcessGroup::reset).
class Interrupted : public Error {
 public:
  explicit Interrupted(const Complaint& complaint) : Error(ExitCode::rows_not_ok, complaint) {}
};

/// An Error with ExitCode::bad_input.
Error bad_input(const Complaint& complaint);

/// An Error with ExitCode::internal, for what no input may cause: says that it is a defect and asks for a report.
Error internal_error(const Complaint& complaint);

}  // namespace tpsp
