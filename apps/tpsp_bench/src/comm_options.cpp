#include "comm_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "choices.h"
#include "tpsp/comm/dtype.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::vector<CommOp> op_setting(const Settings& settings, spdlog::logger& log) {
  const std::vector all{CommOp::all_reduce, CommOp::reduce_scatter, CommOp::all_gather, CommOp::all_gather_read,
                        CommOp::fused_add_norm};
  std::vector<std::string> names{"all"};
  for (const auto op : all) names.emplace_back(to_string(op));
  std::vector<CommOp> ops;
  for (const auto& word : words_setting(settings, "op", log)) {
    if (word == "all") return all;
    require_choice(word, settings.at("op").where, names);
    ops.push_back(*std::find_if(all.begin(), all.end(), [&](CommOp op) { return to_string(op) == word; }));
  }
  return ops;
}

std::vector<Buffer> buffer_setting(const Settings& settings) {
  const auto word = choice_setting(settings, "buffer", {"user", "registered", "both"});
  if (word == "both") return {Buffer::user, Buffer::registered};
  return {word == "user" ? Buffer::user : Buffer::registered};
}

std::vector<c10::ScalarType> dtypes_setting(const Settings& settings, spdlog::logger& log) {
  std::vector<c10::ScalarType> dtypes;
  for (const auto& word : words_setting(settings, "dtype", log)) {
    require_choice(word, settings.at("dtype").where, dtype_names());
    dtypes.push_back(scalar_type(*parse_dtype(word)));
  }
  return dtypes;
}

std::vector<std::int64_t> bytes_setting(const Settings& settings, const CommSweep& sweep, const World& world,
                                        spdlog::logger& log) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  const auto& [text, where] = settings.at("bytes");
  return each_once(parse_byte_sizes(text, where, smallest_message(sweep, world.size()), most), where, log);
}

}  // namespace

std::vector<std::int64_t> parse_byte_sizes(const std::string& text, const std::string& where, std::int64_t min,
                                           std::int64_t max) {
  constexpr std::string_view letters = "KMG";
  constexpr std::size_t most_digits = 9;  // with a letter; more would be too large anyway
  std::string plain;
  for (std::size_t at = 0; at < text.size();) {
    auto end = at;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end])) != 0) ++end;
    const auto letter = end < text.size() ? letters.find(text[end]) : std::string_view::npos;
    if (end == at || end - at > most_digits || letter == std::string_view::npos) {
      end = std::max(end, at + 1);
      plain += text.substr(at, end - at);
      at = end;
    } else {
      plain += std::to_string(std::stoll(text.substr(at, end - at)) << (10 * (letter + 1)));
      at = end + 1;
    }
  }
  return parse_sizes(plain, where, min, max);
}

CommOptions read_comm_options(const CommandLine& line, const World& world, spdlog::logger& log) {
  const Settings settings(line);
  for (const auto& [name, setting] : settings.all()) log.debug("{} is {} ({})", name, setting.text, setting.where);
  CommOptions options;
  auto& sweep = options.sweep;
  sweep.ops = op_setting(settings, log);
  sweep.buffers = buffer_setting(settings);
  sweep.dtypes = dtypes_setting(settings, log);
  sweep.bytes = bytes_setting(settings, sweep, world, log);
  sweep.device = device_setting(settings, world);
  sweep.protocol = protocol_setting(settings);
  sweep.seed = static_cast<std::uint64_t>(integer_setting(settings, "seed", 0, INT64_MAX));
  sweep.protocol.seed = sweep.seed;
  options.backends = words_setting(settings, "backend", log);
  options.bind = choice_setting(settings, "bind", {"auto", "off"}) == "auto";
  options.timeout_s = timeout_setting(settings);
  if (settings.has("threads")) options.threads = static_cast<int>(integer_setting(settings, "threads", 1, 4096));
  options.outs = out_setting(settings);
  options.resume = line.flags.contains("resume");
  return options;
}

std::vector<Backend> choose_backends(const std::vector<Backend>& backends, const std::vector<std::string>& names,
                                     const World& world, at::Device device,
                                     const std::optional<std::string>& shared_gpu) {
  std::vector<Backend> chosen;
  const auto add = [&](const Backend& backend) {
    const bool known =
        std::any_of(chosen.begin(), chosen.end(), [&](const Backend& other) { return other.name == backend.name; });
    if (!known) chosen.push_back(backend);
  };
  for (const auto& name : names) {
    if (name != "all") {
      add(choose_backend(backends, name, world, device, shared_gpu));
      continue;
    }
    for (const auto& backend : backends) {
      const bool shares = backend.device_a_rank && shared_gpu;
      if (!shares && !backend.refusal(world, device)) add(backend);
    }
  }
  return chosen;
}

std::string facts_of(const CommOptions& options, const std::vector<Backend>& backends) {
  const auto& sweep = options.sweep;
  std::vector<std::string> words;
  for (const auto op : sweep.ops) words.emplace_back(to_string(op));
  for (const auto buffer : sweep.buffers) words.emplace_back(to_string(buffer));
  for (const auto dtype : sweep.dtypes) words.emplace_back(to_string(dtype_of(dtype)));
  std::vector<std::string> names;
  for (const auto& backend : backends) names.push_back(backend.name);
  return fmt::format("collectives {}\nbytes {}\nbackends {}\ndevice {}\nseed {}\nresume {}\nbind {}\ntimeout {}\n",
                     join(words, ","), fmt::join(sweep.bytes, ","), join(names, ","), device_kind(sweep.device),
                     sweep.seed, options.resume, options.bind, options.timeout_s.value_or(-1)) +
         to_string(sweep.protocol);
}

}  // namespace tpsp
