#include "disturbances.h"

#include "tpsp/machine/machine_watch.h"

namespace tpsp {

Measured measure_with_disturbances(const std::vector<Workload>& workloads, const Protocol& protocol, World& world,
                                   EventCounter& counter, DeviceProbe& probe, const ProtocolListener& listener) {
  MachineWatch machine;
  bool begun = false;
  Measured measured;
  measured.results = measure(workloads, protocol, world, counter, probe, [&](std::string_view phase, int done) {
    listener(phase, done);
    if (phase != "timing" || begun) return;
    machine.begin();
    begun = true;
  });
  measured.disturbances = machine.end(world);
  return measured;
}

}  // namespace tpsp
