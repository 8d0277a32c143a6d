// A folder that stands for a host's root folder, with the files in which the system reports its figures.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace tpsp {

/// Times in ticks, 100 of them a second.
struct FakeCore {
  long user = 0;
  long system = 0;
  long interrupts = 0;
  long stolen = 0;
};

/// What one rank sees. Its members are written to the files by `write`.
struct FakeSystem {
  std::string host = "n1";
  double uptime_s = 1000;
  std::string number = "77";  ///< of the process
  long start = 5;
  long own_user = 0;  ///< ticks
  long own_system = 0;
  int runs_on = 0;
  std::string allowed = "0-1";
  std::string online = "0-1";
  std::vector<FakeCore> cores{2};
  std::vector<long> kilohertz;  ///< empty as in a virtual machine
  long throttles = 0;
  long throttled_us = 0;
  long parent_throttles = 0;
  long pages_in = 0;
  long pages_out = 0;

  std::filesystem::path root() const { return folder / "."; }

  void write() const {
    put("proc/sys/kernel/hostname", host + "\n");
    put("proc/uptime", std::to_string(uptime_s) + " 3.00\n");
    put("proc/stat", stat());
    put("proc/self/stat", process());
    put("proc/self/status", "Name:\ttpsp\nCpus_allowed:\t3\nCpus_allowed_list:\t" + allowed + "\nThreads:\t4\n");
    put("proc/self/cgroup", "1:cpu:/old\n0::/job/step\n");
    put("proc/vmstat",
        "pgpgin 5\npswpin " + std::to_string(pages_in) + "\npswpout " + std::to_string(pages_out) + "\npgalloc 7\n");
    put("sys/devices/system/cpu/online", online + "\n");
    put("sys/fs/cgroup/job/cpu.stat", cpu_stat(parent_throttles, 0));
    put("sys/fs/cgroup/job/step/cpu.stat", cpu_stat(throttles, throttled_us));
    for (std::size_t core = 0; core < kilohertz.size(); ++core) {
      put("sys/devices/system/cpu/cpu" + std::to_string(core) + "/cpufreq/scaling_cur_freq",
          std::to_string(kilohertz[core]) + "\n");
    }
  }

  TemporaryFolder folder{};

 private:
  void put(const std::string& name, const std::string& text) const {
    const auto path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  std::string stat() const {
    std::string text = "cpu  1 2 3 4 5 6 7 8 9 0\n";
    for (std::size_t i = 0; i < cores.size(); ++i) {
      const auto& core = cores[i];
      text += "cpu" + std::to_string(i) + " " + std::to_string(core.user) + " 0 " + std::to_string(core.system) +
              " 500 9 " + std::to_string(core.interrupts) + " 0 " + std::to_string(core.stolen) + " 0 0\n";
    }
    return text + "intr 12 3 4\nctxt 99\n";
  }

  // The name in brackets may hold spaces and brackets.
  std::string process() const {
    std::string text = number + " (a (b) c) R 1 1 1 0 -1 0 0 0 0 0 " + std::to_string(own_user) + " " +
                       std::to_string(own_system) + " 4000 4000 20 0 4 0 " + std::to_string(start);
    for (int field = 23; field < 39; ++field) text += " 7";
    return text + " " + std::to_string(runs_on) + " 0 0\n";
  }

  static std::string cpu_stat(long count, long microseconds) {
    return "usage_usec 5\nnr_periods 100\nnr_throttled " + std::to_string(count) + "\nthrottled_usec " +
           std::to_string(microseconds) + "\n";
  }
};

}  // namespace tpsp
