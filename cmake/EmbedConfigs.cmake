# Builds every file under configs/ into the program, so that any folder will do to run from. The generated source
# defines tpsp::embedded_configs(); a new configuration file needs no other change.
file(GLOB_RECURSE _configs CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/configs" "${CMAKE_SOURCE_DIR}/configs/*")
set(_entries "")
foreach(_config IN LISTS _configs)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/configs/${_config}")
  file(READ "${CMAKE_SOURCE_DIR}/configs/${_config}" _text)
  string(APPEND _entries "    {\"${_config}\", R\"~~~~(${_text})~~~~\"},\n")
endforeach()
set(TPSP_EMBEDDED_CONFIGS "${CMAKE_BINARY_DIR}/embedded_configs.cpp")
file(CONFIGURE OUTPUT "${TPSP_EMBEDDED_CONFIGS}" @ONLY CONTENT "// Generated from configs/ by cmake/EmbedConfigs.cmake.
#include \"tpsp/core/configs.h\"

namespace tpsp {

std::span<const EmbeddedConfig> embedded_configs() {
  static const EmbeddedConfig configs[] = {
@_entries@  };
  return configs;
}

}  // namespace tpsp
")
