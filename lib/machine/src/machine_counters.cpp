#include "machine_counters.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "control_groups.h"
#include "tpsp/core/environment.h"

namespace tpsp {
namespace {

double seconds_of_ticks(double ticks) { return ticks / static_cast<double>(sysconf(_SC_CLK_TCK)); }

// "0-2,5" is 0, 1, 2, 5.
std::set<int> parse_cores(const std::string& list) {
  std::set<int> cores;
  std::istringstream text(list);
  for (int first = 0; text >> first;) {
    int last = first;
    if (text.peek() == '-') text.ignore() >> last;
    for (int core = first; core <= last; ++core) cores.insert(core);
    if (text.peek() == ',') text.ignore();
  }
  return cores;
}

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The lines "cpu3 user nice system idle iowait irq softirq steal ..." of /proc/stat.
std::map<int, CoreTimes> read_cores(const std::filesystem::path& root) {
  const auto allowed = allowed_cores(root);
  std::map<int, CoreTimes> cores;
  std::ifstream file(root / "proc/stat");
  for (std::string line; std::getline(file, line) && line.starts_with("cpu");) {
    std::istringstream text(line.substr(3));
    int core = 0;
    if (line[3] == ' ' || !(text >> core) || (!allowed.empty() && !allowed.contains(core))) continue;
    double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    text >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
    cores[core] = {.busy_s = seconds_of_ticks(user + nice + system), .stolen_s = seconds_of_ticks(steal)};
  }
  return cores;
}

// The fields of /proc/self/stat as proc(5) numbers them, from the third on: the second may hold spaces.
class ProcessFields {
 public:
  explicit ProcessFields(const std::string& line) : number_(line.substr(0, line.find(' '))) {
    std::istringstream text(line.substr(line.rfind(')') + 1));
    for (std::string field; text >> field;) fields_.push_back(field);
  }
  const std::string& number() const { return number_; }
  std::string text(std::size_t field) const { return field - 3 < fields_.size() ? fields_[field - 3] : "0"; }
  double ticks(std::size_t field) const { return std::strtod(text(field).c_str(), nullptr); }

 private:
  std::string number_;
  std::vector<std::string> fields_;
};

std::optional<double> read_clock_ghz(const std::filesystem::path& root, const std::string& core) {
  const auto kilohertz = number_in(root / ("sys/devices/system/cpu/cpu" + core + "/cpufreq/scaling_cur_freq"));
  if (!kilohertz || *kilohertz <= 0) return std::nullopt;
  return static_cast<double>(*kilohertz) / 1e6;
}

void read_process(const std::filesystem::path& root, MachineCounters& counters) {
  constexpr std::size_t user = 14, system = 15, start = 22, last_core = 39;
  const ProcessFields fields(first_line(root / "proc/self/stat"));
  counters.process = fields.number() + " " + fields.text(start);
  counters.own_s = seconds_of_ticks(fields.ticks(user) + fields.ticks(system));
  counters.clock_ghz = read_clock_ghz(root, fields.text(last_core));
}

void read_throttling(const std::filesystem::path& root, MachineCounters& counters) {
  for (const auto& folder : group_folders(root / "sys/fs/cgroup", own_group(root / "proc/self/cgroup"))) {
    counters.throttles += number_after("nr_throttled", folder / "cpu.stat").value_or(0);
    counters.throttled_s += static_cast<double>(number_after("throttled_usec", folder / "cpu.stat").value_or(0)) / 1e6;
  }
}

std::int64_t read_swapped_bytes(const std::filesystem::path& root) {
  const auto pages = number_after("pswpin", root / "proc/vmstat").value_or(0) +
                     number_after("pswpout", root / "proc/vmstat").value_or(0);
  return pages * sysconf(_SC_PAGESIZE);
}

}  // namespace

MachineCounters read_counters(const std::filesystem::path& root) {
  MachineCounters counters;
  std::ifstream(root / "proc/uptime") >> counters.uptime_s;
  counters.cores = read_cores(root);
  read_process(root, counters);
  read_throttling(root, counters);
  counters.swapped_bytes = read_swapped_bytes(root);
  return counters;
}

std::string host_in(const std::filesystem::path& root) {
  const auto name = first_line(root / "proc/sys/kernel/hostname");
  return name.empty() ? host_name() : name;
}

std::set<int> allowed_cores(const std::filesystem::path& root) {
  constexpr std::string_view name = "Cpus_allowed_list:";
  std::ifstream file(root / "proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return parse_cores(line.substr(name.size()));
  }
  return {};
}

std::set<int> online_cores(const std::filesystem::path& root) {
  return parse_cores(first_line(root / "sys/devices/system/cpu/online"));
}

}  // namespace tpsp
