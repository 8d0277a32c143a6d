# A library is one static CMake target under lib/ with its public headers in include/tpsp/<library>.

add_library(tpsp_warnings INTERFACE)
# -Wno-restrict: g++ 12 warns of overlaps inside std::string that can not happen (GCC bug 105651).
set(_warnings -Wall -Wextra -Wconversion -Wshadow -Wpedantic -Wno-restrict $<$<BOOL:${TPSP_WERROR}>:-Werror>)
target_compile_options(tpsp_warnings INTERFACE "$<$<COMPILE_LANGUAGE:C,CXX>:${_warnings}>"
                       "$<$<COMPILE_LANGUAGE:CUDA>:$<$<BOOL:${TPSP_WERROR}>:-Werror=all-warnings>>")

# Headers that most sources include, parsed once for all targets that link LibTorch: half of their compile time. The
# compiler takes them only for sources that are compiled with the same flags.
option(TPSP_PRECOMPILE "Precompile LibTorch's headers" ON)
if(TPSP_PRECOMPILE)
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp" CONTENT "")
  add_library(tpsp_torch_headers OBJECT "${CMAKE_CURRENT_BINARY_DIR}/precompiled.cpp")
  target_link_libraries(tpsp_torch_headers PRIVATE tpsp::torch fmt::fmt tpsp_warnings)
  target_precompile_headers(tpsp_torch_headers PRIVATE <ATen/ATen.h> <algorithm> <fmt/format.h> <functional> <map>
                            <memory> <optional> <string> <vector>)
endif()

# tpsp_precompile(<target>): it uses them.
function(tpsp_precompile target)
  if(TPSP_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM tpsp_torch_headers)
  endif()
endfunction()

# Several sources compiled as one, which halves the time of a build from nothing and makes one after a change longer.
# Their anonymous namespaces are then one.
option(TPSP_UNITY "Compile the sources of a library together" OFF)

# tpsp_compile_together(<target>): it does so if asked. What is for CUDA stays apart, so that with and without it the same
# sources meet.
function(tpsp_compile_together target)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "(_cuda|/nccl)\\.cpp$")
  set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TPSP_UNITY} UNITY_BUILD_BATCH_SIZE 6)
endfunction()

# tpsp_library(<name> [PRECOMPILED] [LINK <targets>...]): sources are src/*.cpp and src/<folder>/*.cpp, except those
# named *_cuda.cpp and nccl.cpp where CUDA is off.
function(tpsp_library name)
  cmake_parse_arguments(ARG "PRECOMPILED" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/src/*.cpp")
  if(NOT TPSP_WITH_CUDA)
    list(FILTER sources EXCLUDE REGEX "(_cuda|/nccl)\\.cpp$")
  endif()
  add_library(tpsp_${name} STATIC ${sources})
  add_library(tpsp::${name} ALIAS tpsp_${name})
  target_include_directories(tpsp_${name} PUBLIC include PRIVATE src)
  target_link_libraries(tpsp_${name} PUBLIC ${ARG_LINK} PRIVATE tpsp_warnings)
  tpsp_compile_together(tpsp_${name})
  if(ARG_PRECOMPILED)
    tpsp_precompile(tpsp_${name})
  endif()
endfunction()

# tpsp_test(<library> [LINK <targets>...]): tests/<library>/*.cpp as one Catch2 program, each case a ctest of its own.
function(tpsp_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  add_executable(test_${name} ${sources} main.cpp)
  target_include_directories(test_${name} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} Catch2::Catch2 tpsp_warnings)
  target_compile_definitions(test_${name} PRIVATE TPSP_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/data"
                             TPSP_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  catch_discover_tests(test_${name} TEST_PREFIX "${name}: " EXTRA_ARGS -w NoAssertions PROPERTIES TIMEOUT 300)
endfunction()
