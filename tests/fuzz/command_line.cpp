// A command line, an argument in each line, and the settings that come of it.
#include <vector>

#include "settings.h"
#include "target.h"
#include "tpsp/core/text.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto arguments = tpsp::split(tpsp::text_of(data, size), '\n');
  for (auto& argument : arguments) argument = argument.substr(0, argument.find('\0'));
  std::vector<const char*> words{"tpsp-bench"};
  for (const auto& argument : arguments) {
    if (argument.starts_with("--config")) return 0;  // which config.cpp reads
    words.push_back(argument.c_str());
  }
  words.push_back(nullptr);
  tpsp::reads_or_refuses([&] {
    const auto line = tpsp::parse_command_line(static_cast<int>(words.size()) - 1, words.data());
    if (!line.output) tpsp::Settings{line};
  });
  return 0;
}
