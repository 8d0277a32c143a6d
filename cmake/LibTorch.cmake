# tpsp::torch: LibTorch from the Python package that scripts/setup.sh installs, or from TPSP_TORCH_DIR.
#
# The targets are made by hand because LibTorch's own TorchConfig.cmake wants a CUDA toolkit and a GPU at configure
# time even for a CPU-only program; the libraries themselves need neither.
set(TPSP_TORCH_DIR "" CACHE PATH "The folder that holds LibTorch's include/ and lib/")
if(NOT TPSP_TORCH_DIR)
  file(GLOB _torch_dirs "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  if(_torch_dirs)
    list(GET _torch_dirs 0 TPSP_TORCH_DIR)
  endif()
endif()
if(NOT EXISTS "${TPSP_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "no LibTorch in '${TPSP_TORCH_DIR}'; run scripts/setup.sh or set TPSP_TORCH_DIR")
endif()
cmake_path(GET TPSP_TORCH_DIR PARENT_PATH _site_packages)
file(GLOB _nvidia_dirs "${_site_packages}/nvidia/*/lib")

add_library(tpsp_torch INTERFACE)
add_library(tpsp::torch ALIAS tpsp_torch)
target_include_directories(tpsp_torch SYSTEM INTERFACE "${TPSP_TORCH_DIR}/include"
                           "${TPSP_TORCH_DIR}/include/torch/csrc/api/include")
target_link_directories(tpsp_torch INTERFACE "${TPSP_TORCH_DIR}/lib")
# GNU OpenMP: the copy that LibTorch brings, where it brings one under its own name, so that a process has one.
find_library(TPSP_GOMP NAMES libgomp.so.1 HINTS "${TPSP_TORCH_DIR}/lib" REQUIRED)
target_link_libraries(tpsp_torch INTERFACE torch_cpu c10 "${TPSP_GOMP}")
# LibTorch's own dependencies lie in sibling packages and are found through its run path; the linker need not check.
target_link_options(tpsp_torch INTERFACE "-Wl,--allow-shlib-undefined")
set(CMAKE_BUILD_RPATH "${TPSP_TORCH_DIR}/lib" ${_nvidia_dirs})

if(TPSP_WITH_CUDA)
  if(NOT EXISTS "${TPSP_TORCH_DIR}/lib/libtorch_cuda.so")
    message(FATAL_ERROR "TPSP_WITH_CUDA=ON: '${TPSP_TORCH_DIR}' has no libtorch_cuda.so")
  endif()
  find_library(TPSP_NCCL NAMES libnccl.so.2 nccl PATHS "${_site_packages}/nvidia/nccl/lib" NO_DEFAULT_PATH)
  find_library(TPSP_NCCL NAMES nccl PATHS "${CUDAToolkit_LIBRARY_DIR}" REQUIRED)
  find_path(TPSP_NCCL_INCLUDE nccl.h PATHS "${_site_packages}/nvidia/nccl/include" NO_DEFAULT_PATH)
  find_path(TPSP_NCCL_INCLUDE nccl.h PATHS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
  add_library(tpsp_torch_cuda INTERFACE)
  add_library(tpsp::torch_cuda ALIAS tpsp_torch_cuda)
  target_include_directories(tpsp_torch_cuda SYSTEM INTERFACE "${TPSP_NCCL_INCLUDE}" ${CUDAToolkit_INCLUDE_DIRS})
  # --no-as-needed: libtorch_cuda registers the CUDA kernels when it is loaded, no symbol of it is called.
  target_link_libraries(tpsp_torch_cuda INTERFACE tpsp::torch "-Wl,--no-as-needed" torch_cuda c10_cuda
                        "-Wl,--as-needed" CUDA::cudart "${TPSP_NCCL}")
endif()
