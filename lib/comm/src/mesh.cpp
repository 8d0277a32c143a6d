#include "tpsp/comm/mesh.h"

#include <fmt/format.h>

namespace tpsp {

Mesh::Mesh(World& world, int tp) : world_(world) {
  if (tp < 1 || world.size() % tp != 0) {
    throw bad_input({.where = "mesh",
                     .what = fmt::format("{} ranks do not divide into tensor-parallel groups of {}", world.size(), tp),
                     .remedy = "use a multiple of the group's size"});
  }
  if (tp == world.size()) {
    dp_group_ = std::make_unique<SerialWorld>();
    return;
  }
  tp_group_ = world.split(world.rank() / tp);
  dp_group_ = world.split(world.rank() % tp);
}

}  // namespace tpsp
