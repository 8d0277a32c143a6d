// Files: reading with a limit, and appending durably.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tpsp/core/file_descriptor.h"

namespace tpsp {

/// The file's content. Throws bad_input when it is missing, unreadable, a folder, or larger than `limit` bytes.
std::string read_file(const std::filesystem::path& path, std::size_t limit);

/// As read_file, without the byte-order mark that some editors begin UTF-8 with.
std::string read_text(const std::filesystem::path& path, std::size_t limit);

/// Throws Error(output_failed) for what is there and keeps nothing that is written to it: a FIFO, a device, a socket.
void require_keeps(const std::filesystem::path& path);

/// Writes a file (created or replaced), or all of the text to a stream such as /dev/stdout. A symbolic link is refused.
/// Throws Error(output_failed) naming the path and the reason.
void write_file(const std::filesystem::path& path, std::string_view content);

/// A file opened for appending and locked against a second writer (where the file system has locks). Every append is
/// one write followed by fsync, so what was appended survives a kill. Throws Error(output_failed) with path and reason:
/// missing folder, read-only, a symbolic link, no file that keeps what is written, locked by another run, disk full (a
/// torn append is truncated again), removed or replaced since it was opened.
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path);

  bool empty() const { return size_ == 0; }
  void append(std::string_view text);
  const std::filesystem::path& path() const { return path_; }

  /// What follows the last line feed: empty, unless the last writer was killed or left out the final line feed.
  std::string torn_line() const;
  /// Removes torn_line() from the file.
  void cut_torn_line();

 private:
  void lock() const;
  void require_there() const;
  std::string read_at(std::int64_t offset, std::size_t count) const;
  std::string cut_back(std::int64_t size) const;

  std::filesystem::path path_;
  FileDescriptor descriptor_{-1};
  std::int64_t size_ = 0;
};

}  // namespace tpsp
