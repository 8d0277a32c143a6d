// What every target of the fuzzer has in common. A target is one reader of text that users give: it may refuse the text
// with an Error, and nothing else.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "tpsp/core/error.h"

/// libFuzzer's entry, which tests/fuzz/replay.cpp calls too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace tpsp {

/// Any other exception ends the process, which is a finding.
template <typename Read>
void reads_or_refuses(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    if (std::string_view(error.what()).empty()) std::abort();
  }
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// A file that holds a text, for readers that take a path.
class ScratchFile {
 public:
  ScratchFile(const std::string& text, const std::string& ending)
      : path_(std::filesystem::temp_directory_path() / ("tpsp-fuzz-" + std::to_string(getpid()) + ending)) {
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tpsp
