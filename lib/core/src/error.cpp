#include "tpsp/core/error.h"

namespace tpsp {

std::string Complaint::text() const {
  std::string result;
  if (!where.empty()) result += where + ": ";
  result += what;
  if (!why.empty()) result += " (" + why + ")";
  if (!remedy.empty()) result += "; " + remedy;
  return result;
}

Error::Error(ExitCode code, const Complaint& complaint) : Error(code, complaint.text()) {}

Error::Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

Error bad_input(const Complaint& complaint) { return {ExitCode::bad_input, complaint}; }

Error internal_error(const Complaint& complaint) {
  auto report = complaint;
  report.where = "internal error in " + complaint.where;
  report.remedy = "this is a defect of tpsp-bench: please report it with the command line, plan and model";
  return {ExitCode::internal, report};
}

}  // namespace tpsp
