// Gives a target every file of the folders on the command line, as libFuzzer does with a corpus.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "target.h"
#include "tpsp/core/files.h"

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::printf("%s\n", file.filename().c_str());  // the last line is the one that ended the process
    std::fflush(stdout);
    const auto text = tpsp::read_file(file, std::size_t{1} << 20);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  std::printf("%zu inputs\n", files.size());
  return files.empty() ? 1 : 0;
}
