#include "tpsp/core/files.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <optional>

#include "support/temporary_folder.h"
#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

constexpr std::size_t limit = 1000;

/// The process may write no file over `bytes` long, as if the disk were full there.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("a written file reads back and is replaced by a second writing") {
  const TemporaryFolder folder;
  write_file(folder / "a", "first and long");
  write_file(folder / "a", "second");
  CHECK(read_file(folder / "a", limit) == "second");
}

TEST_CASE("reading a missing file names it and the reason") {
  const TemporaryFolder folder;
  const auto path = folder / "none.yaml";
  CHECK(complaint_of([&] { read_file(path, limit); }) ==
        path.string() + ": cannot be read (No such file or directory); check the path and its permissions");
}

TEST_CASE("reading a folder says that it is one") {
  const TemporaryFolder folder;
  CHECK_THAT(complaint_of([&] { read_file(folder / "", limit); }), Contains("cannot be read (it is a folder)"));
}

TEST_CASE("a file may be as long as the limit and not longer") {
  const TemporaryFolder folder;
  write_file(folder / "a", std::string(limit, 'x'));
  CHECK(read_file(folder / "a", limit).size() == limit);
  CHECK_THAT(complaint_of([&] { read_file(folder / "a", limit - 1); }), Contains("it has over 999 bytes"));
}

TEST_CASE("a device that never ends is refused at the limit") {
  CHECK_THAT(complaint_of([] { read_file("/dev/zero", limit); }), Contains("it has over 1000 bytes"));
}

TEST_CASE("a text is read without its byte-order mark") {
  const TemporaryFolder folder;
  write_file(folder / "a", "\xEF\xBB\xBFtext \xEF\xBB\xBF");
  CHECK(read_text(folder / "a", limit) == "text \xEF\xBB\xBF");
  write_file(folder / "a", "\xEF\xBB");
  CHECK(read_text(folder / "a", limit) == "\xEF\xBB");
}

TEST_CASE("writing into a missing folder is an output error that says to make it") {
  const TemporaryFolder folder;
  const Error error = thrown_by([&] { write_file(folder / "none/a", "x"); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("No such file or directory") && Contains("make its folder first"));
}

TEST_CASE("appends follow one another and what the file held before") {
  const TemporaryFolder folder;
  write_file(folder / "a", "head\none\n");
  {
    AppendFile file(folder / "a");
    CHECK_FALSE(file.empty());
    file.append("two\n");
    file.append("three\n");
  }
  CHECK(read_file(folder / "a", limit) == "head\none\ntwo\nthree\n");
}

TEST_CASE("a new file to append to is made and is empty") {
  const TemporaryFolder folder;
  AppendFile file(folder / "a");
  CHECK(file.empty());
  CHECK(file.torn_line().empty());
  file.append("x\n");
  CHECK_FALSE(file.empty());
}

TEST_CASE("a second writer on one file is turned away until the first ends") {
  const TemporaryFolder folder;
  {
    const AppendFile first(folder / "a");
    const Error error = thrown_by([&] { AppendFile second(folder / "a"); });
    CHECK(error.code() == ExitCode::output_failed);
    CHECK_THAT(error.what(), Contains("another run is writing this file; wait for its end"));
  }
  CHECK_NOTHROW(AppendFile(folder / "a"));
}

TEST_CASE("appending to a folder says to give a file") {
  const TemporaryFolder folder;
  const Error error = thrown_by([&] { AppendFile file(folder / ""); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("cannot be opened for appending (Is a directory); give the path of a file"));
}

TEST_CASE("a full disk is an output error with its reason") {
  const TemporaryFolder folder;
  AppendFile file(folder / "a");
  const FullDisk disk(0);
  const Error error = thrown_by([&] { file.append("row\n"); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK(std::string(error.what()) == (folder / "a").string() +
                                         ": cannot be appended to (File too large); free disk space, or give a path on "
                                         "another disk");
}

TEST_CASE("what does not keep what is appended to it is refused before it is opened") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  std::filesystem::create_symlink("/dev/null", folder / "null");
  for (const auto& path : {folder / "fifo", folder / "null", std::filesystem::path("/dev/full")}) {
    const Error error = thrown_by([&] { AppendFile file(path); });
    CHECK(error.code() == ExitCode::output_failed);
    CHECK(std::string(error.what()) == path.string() +
                                           ": it does not keep what is written to it (no regular file); give the path "
                                           "of a file");
  }
}

TEST_CASE("a symbolic link is not written through") {
  const TemporaryFolder folder;
  std::filesystem::create_symlink(folder / "elsewhere.csv", folder / "r.csv");
  const auto write = thrown_by([&] { write_file(folder / "r.csv", "a"); });
  CHECK(write.code() == ExitCode::output_failed);
  CHECK_THAT(write.what(), Contains("give the path of the file itself, without symbolic links"));
  CHECK_THAT(thrown_by([&] { AppendFile file(folder / "r.csv"); }).what(), Contains("without symbolic links"));
  CHECK_FALSE(std::filesystem::exists(folder / "elsewhere.csv"));
}

TEST_CASE("files are made with the user's umask") {
  const TemporaryFolder folder;
  const auto before = ::umask(027);
  write_file(folder / "w.txt", "a");
  AppendFile(folder / "a.txt").append("a");
  ::umask(before);
  for (const char* name : {"w.txt", "a.txt"}) {
    CHECK(std::filesystem::status(folder / name).permissions() ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write |
           std::filesystem::perms::group_read));
  }
}

TEST_CASE("a file that is removed or replaced while it is written is missed at the next append") {
  const TemporaryFolder folder;
  const bool replaced = GENERATE(false, true);
  AppendFile file(folder / "a");
  file.append("one\n");
  std::filesystem::remove(folder / "a");
  if (replaced) write_file(folder / "a", "of somebody else\n");
  const Error error = thrown_by([&] { file.append("two\n"); });
  CHECK(error.code() == ExitCode::output_failed);
  CHECK_THAT(error.what(), Contains("the file was removed or replaced while it was written"));
}

TEST_CASE("a file that is moved while it is written keeps what is appended to it") {
  const TemporaryFolder folder;
  AppendFile file(folder / "a");
  file.append("one\n");
  std::filesystem::rename(folder / "a", folder / "b");
  file.append("two\n");
  CHECK(read_file(folder / "b", limit) == "one\ntwo\n");
}

TEST_CASE("a line torn by a full disk is removed again") {
  const TemporaryFolder folder;
  AppendFile file(folder / "a");
  file.append("first\n");
  std::optional<Error> error;
  {
    const FullDisk disk(10);
    error = thrown_by([&] { file.append("second\n"); });
  }
  CHECK(error->code() == ExitCode::output_failed);
  CHECK_THAT(error->what(), Contains("cannot be appended to"));
  CHECK(read_file(folder / "a", limit) == "first\n");
  file.append("third\n");
  CHECK(read_file(folder / "a", limit) == "first\nthird\n");
}

TEST_CASE("a last line without a line feed is seen and can be removed") {
  const TemporaryFolder folder;
  write_file(folder / "a", "head\none\ntw");
  AppendFile file(folder / "a");
  CHECK(file.torn_line() == "tw");
  file.cut_torn_line();
  CHECK(file.torn_line().empty());
  file.append("two\n");
  CHECK(read_file(folder / "a", limit) == "head\none\ntwo\n");
}

TEST_CASE("a file of one torn line can be truncated to nothing") {
  const TemporaryFolder folder;
  write_file(folder / "a", "hea");
  AppendFile file(folder / "a");
  CHECK(file.torn_line() == "hea");
  file.cut_torn_line();
  CHECK(file.empty());
}
