// LibTorch before Catch2. Both have a macro CHECK, the later one wins, and a test means Catch2's.
#pragma once

#include <ATen/ATen.h>

#undef CHECK

#include <catch2/catch.hpp>
