#include "tpsp/core/observer.h"

namespace tpsp {

std::string_view to_string(Part part) {
  switch (part) {
    case Part::gemm: return "gemm";
    case Part::attention: return "attention";
    case Part::norm: return "norm";
    case Part::seam: return "seam";
    case Part::wait: return "wait";
    case Part::move: return "move";
    case Part::other: return "other";
  }
  return "unknown";
}

}  // namespace tpsp
