#include "tpsp/core/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "support/temporary_folder.h"
#include "tpsp/core/file_descriptor.h"
#include "tpsp/core/files.h"

using namespace tpsp;

namespace {

/// What `function` writes to stderr.
template <typename Function>
std::string on_stderr(Function&& function) {
  const TemporaryFolder folder;
  const FileDescriptor kept(::dup(STDERR_FILENO));
  const FileDescriptor file(::open((folder / "log").c_str(), O_WRONLY | O_CREAT, 0600));
  ::dup2(file.get(), STDERR_FILENO);
  function();
  ::dup2(kept.get(), STDERR_FILENO);
  return read_file(folder / "log", 10'000);
}

}  // namespace

TEST_CASE("a log line names its rank and its level on stderr") {
  CHECK(on_stderr([] { make_logger(3, spdlog::level::info)->warn("low memory"); }) == "[rank 3] warning: low memory\n");
}

TEST_CASE("a log line below the logger's level is not written") {
  CHECK(on_stderr([] { make_logger(0, spdlog::level::warn)->info("starting"); }).empty());
}
