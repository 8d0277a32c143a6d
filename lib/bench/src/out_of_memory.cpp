#include "out_of_memory.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  return std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;
}

}  // namespace

bool any_runs_out_of_memory(World& world, const std::function<void()>& step) {
  double failed = 0;
  try {
    step();
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    failed = 1;
  }
  return max_over_ranks(world, {failed}).front() > 0;
}

Workload interruptible(Workload work, const Groups& groups) {
  if (!groups.can_interrupt()) return work;
  return [work = std::move(work), &groups] {
    try {
      work();
    } catch (const Interrupted&) {  // its own peers of another dimension may be waiting too
      groups.interrupt();
      throw;
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      groups.interrupt();
      throw Interrupted({.where = "memory", .what = "it ran out", .why = message_of(error)});
    }
  };
}

bool runs_out_of_memory(const World& world, const std::function<void()>& step) {
  try {
    step();
    return false;
  } catch (const AgreedInterruption&) {
    return true;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    if (world.size() == 1) return true;
    throw Error(
        ExitCode::rows_not_ok,
        {.where = "memory", .what = "it ran out", .why = message_of(error), .remedy = std::string(memory_remedy)});
  }
}

}  // namespace tpsp
