# The libraries that tpsp-bench links to. Versions: scripts/versions.env; reasons: docs/dependencies.md.
find_package(Threads REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc)

# CUDA is compiled in where there is a toolkit; -DTPSP_WITH_CUDA=OFF builds the CPU half alone.
find_package(CUDAToolkit QUIET)
option(TPSP_WITH_CUDA "Compile the CUDA and NCCL half" ${CUDAToolkit_FOUND})
if(TPSP_WITH_CUDA AND NOT CUDAToolkit_FOUND)
  message(FATAL_ERROR "TPSP_WITH_CUDA=ON: no CUDA toolkit (nvcc) was found; set CUDAToolkit_ROOT or turn it off")
endif()

if(TPSP_WITH_CUDA)
  # A100, L40 and H100; newer GPUs compile the last one's PTX when they first load it.
  set(CMAKE_CUDA_ARCHITECTURES "80-real;89-real;90" CACHE STRING "GPUs to compile kernels for")
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # the one that LibTorch has
  set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")
  enable_language(CUDA)
endif()

include(LibTorch)

# oneDNN, from the Python packages that scripts/setup.sh installs: LibTorch does not export the copy inside it, and has
# the headers of another version in its own include folder. Without it the other GEMM kernels are there.
find_path(TPSP_ONEDNN_INCLUDE oneapi/dnnl/dnnl.hpp HINTS "${CMAKE_SOURCE_DIR}/.venv/include")
find_library(TPSP_ONEDNN NAMES libdnnl.so.3 HINTS "${CMAKE_SOURCE_DIR}/.venv/lib")
if(TPSP_ONEDNN AND TPSP_ONEDNN_INCLUDE)
  add_library(tpsp_onednn INTERFACE)
  add_library(tpsp::onednn ALIAS tpsp_onednn)
  target_link_libraries(tpsp_onednn INTERFACE "${TPSP_ONEDNN}")
  cmake_path(GET TPSP_ONEDNN PARENT_PATH _onednn_dir)
  list(APPEND CMAKE_BUILD_RPATH "${_onednn_dir}")
endif()

# The headers of Gloo alone: LibTorch holds Gloo's code and needs these to compile against c10d. Debian's libgloo.so
# must not be linked; two copies of Gloo in one process would take each other's symbols.
find_path(TPSP_GLOO_INCLUDE gloo/algorithm.h REQUIRED)
add_library(tpsp_gloo_headers INTERFACE)
add_library(tpsp::gloo_headers ALIAS tpsp_gloo_headers)
target_include_directories(tpsp_gloo_headers SYSTEM INTERFACE "${TPSP_GLOO_INCLUDE}")

# The one library that must come before LibTorch's include folder, which carries a newer fmt of its own that Debian's
# spdlog does not compile with.
get_target_property(_fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/fmt-first")
if(NOT EXISTS "${CMAKE_BINARY_DIR}/fmt-first/fmt")
  file(CREATE_LINK "${_fmt_include}/fmt" "${CMAKE_BINARY_DIR}/fmt-first/fmt" SYMBOLIC)
endif()
include_directories(BEFORE SYSTEM "${CMAKE_BINARY_DIR}/fmt-first")
