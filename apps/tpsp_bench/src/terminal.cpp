#include "terminal.h"

#include <unistd.h>

#include <filesystem>
#include <string>

#include "tpsp/core/environment.h"

namespace tpsp {
namespace {

// mpirun gives its ranks a pseudo-terminal even if its output is a file; what counts is where the launcher writes.
bool launcher_writes_to_terminal() {
  std::error_code error;
  const auto output = std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/1", error).string();
  return !error && (output.starts_with("/dev/pts/") || output.starts_with("/dev/tty"));
}

}  // namespace

bool stdout_is_terminal() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  return !detect_launch().mpi || launcher_writes_to_terminal();
}

bool wants_color() {
  const auto no_color = environment("NO_COLOR");
  return stdout_is_terminal() && (!no_color || no_color->empty());
}

}  // namespace tpsp
