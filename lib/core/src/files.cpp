#include "tpsp/core/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 26;

std::string remedy_for(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return "make its folder first, or give another path";
    case EACCES:
    case EPERM:
    case EROFS: return "give a path that you may write to";
    case EISDIR: return "give the path of a file";
    case ELOOP: return "give the path of the file itself, without symbolic links";
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "free disk space, or give a path on another disk";
    default: return "give another path";
  }
}

Error output_failed(const std::filesystem::path& path, const std::string& what, int error_number) {
  return {ExitCode::output_failed,
          Complaint{path.string(), what, std::strerror(error_number), remedy_for(error_number)}};
}

// A link is not followed, since somebody else may have made it, but for the system's own, as /dev/stdout.
int open_for_output(const std::filesystem::path& path, int flags) {
  const bool is_systems = path.parent_path() == "/dev" || path.parent_path() == "/dev/fd";
  return ::open(path.c_str(), flags | O_CREAT | O_CLOEXEC | (is_systems ? 0 : O_NOFOLLOW), 0666);
}

ssize_t write_once(int descriptor, std::string_view text) {
  ssize_t written = -1;
  do written = ::write(descriptor, text.data(), text.size());
  while (written < 0 && errno == EINTR);
  return written;
}

}  // namespace

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  const auto fail = [&](const std::string& why, const std::string& remedy) {
    return bad_input({path.string(), "cannot be read", why, remedy});
  };
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) throw fail(std::strerror(errno), "check the path and its permissions");
  std::string content;
  std::array<char, 65536> block{};
  for (;;) {
    const ssize_t count = ::read(file.get(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EISDIR) throw fail("it is a folder", "give the path of a file");
    if (count < 0) throw fail(std::strerror(errno), "check the path and its disk");
    if (count == 0) return content;
    content.append(block.data(), static_cast<std::size_t>(count));
    if (content.size() > limit) throw fail(fmt::format("it has over {} bytes", limit), "give a smaller file");
  }
}

std::string read_text(const std::filesystem::path& path, std::size_t limit) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  auto text = read_file(path, limit);
  return text.starts_with(byte_order_mark) ? text.substr(byte_order_mark.size()) : text;
}

void require_keeps(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_other(path, ignored)) return;
  throw Error(ExitCode::output_failed, Complaint{path.string(), "it does not keep what is written to it",
                                                 "no regular file", "give the path of a file"});
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  FileDescriptor file(open_for_output(path, O_WRONLY | O_TRUNC));
  if (!file.is_open()) throw output_failed(path, "cannot be opened for writing", errno);
  while (!content.empty()) {
    const ssize_t written = write_once(file.get(), content);
    if (written < 0) throw output_failed(path, "cannot be written", errno);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
}

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  require_keeps(path_);
  descriptor_ = FileDescriptor(open_for_output(path_, O_RDWR | O_APPEND));
  if (!descriptor_.is_open()) throw output_failed(path_, "cannot be opened for appending", errno);
  lock();
  size_ = ::lseek(descriptor_.get(), 0, SEEK_END);
}

void AppendFile::lock() const {
  if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) {
    throw Error(
        ExitCode::output_failed,
        Complaint{path_.string(), "another run is writing this file", {}, "wait for its end, or give another path"});
  }
  // Some cluster file systems are mounted without locks; one writer alone is still safe there.
  const bool no_locks = errno == ENOSYS || errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL;
  if (!no_locks) throw output_failed(path_, "cannot be locked", errno);
}

std::string AppendFile::read_at(std::int64_t offset, std::size_t count) const {
  std::string text(count, '\0');
  const ssize_t read = ::pread(descriptor_.get(), text.data(), count, offset);
  if (read < 0) throw output_failed(path_, "cannot be read back", errno);
  text.resize(static_cast<std::size_t>(read));
  return text;
}

std::string AppendFile::torn_line() const {
  if (empty()) return {};
  const std::int64_t begin = std::max<std::int64_t>(0, size_ - static_cast<std::int64_t>(longest_line));
  const std::string tail = read_at(begin, static_cast<std::size_t>(size_ - begin));
  const std::size_t line_feed = tail.rfind('\n');
  if (line_feed != std::string::npos) return tail.substr(line_feed + 1);
  if (begin == 0) return tail;
  throw Error(ExitCode::output_failed, Complaint{path_.string(), "the last line has over 64 MiB",
                                                 "not a table of results", "give another path"});
}

void AppendFile::cut_torn_line() {
  const std::int64_t kept = size_ - static_cast<std::int64_t>(torn_line().size());
  if (kept == size_) return;
  if (::ftruncate(descriptor_.get(), kept) != 0) throw output_failed(path_, "cannot be shortened", errno);
  size_ = kept;
}

std::string AppendFile::cut_back(std::int64_t size) const {
  if (::ftruncate(descriptor_.get(), size) == 0) return "cannot be appended to";
  return "cannot be appended to, nor can the torn last line be removed";
}

void AppendFile::append(std::string_view text) {
  const ssize_t written = write_once(descriptor_.get(), text);
  if (written < 0) throw output_failed(path_, "cannot be appended to", errno);
  if (static_cast<std::size_t>(written) < text.size()) {
    // A second write would fail with the reason, or end the process with SIGXFSZ; a short write to a file means this.
    throw output_failed(path_, cut_back(size_), ENOSPC);
  }
  if (::fsync(descriptor_.get()) != 0) {
    const int reason = errno;
    throw output_failed(path_, cut_back(size_), reason);
  }
  size_ += written;
  require_there();
}

// A file without a name is gone when the program ends. Some file systems count no names, so that the path decides too.
void AppendFile::require_there() const {
  struct stat here {};
  struct stat there {};
  const bool named = ::fstat(descriptor_.get(), &here) != 0 || here.st_nlink > 0;
  const bool same = ::stat(path_.c_str(), &there) == 0 && there.st_dev == here.st_dev && there.st_ino == here.st_ino;
  if (named || same) return;
  throw Error(
      ExitCode::output_failed,
      Complaint{
          path_.string(), "the file was removed or replaced while it was written", {}, "leave it until the run ends"});
}

}  // namespace tpsp
