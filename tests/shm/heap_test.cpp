#include "tpsp/shm/heap.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace tpsp;

namespace {
constexpr std::size_t page = OffsetHeap::alignment;
}

TEST_CASE("a heap gives full pages, one after the other") {
  OffsetHeap heap(10 * page);
  CHECK(heap.take(1, 0) == 0U);
  CHECK(heap.take(page, 0) == page);
  CHECK(heap.take(page + 1, 0) == 2 * page);
  CHECK(heap.take(0, 0) == 4 * page);
  CHECK(heap.take(1, 0) == 5 * page);
}

TEST_CASE("a heap gives the first gap that is large enough") {
  OffsetHeap heap(8 * page);
  for (int i = 0; i < 6; ++i) heap.take(page, 0);
  for (const std::size_t given_back : {1U, 3U, 4U}) heap.give_back(given_back * page, 0);
  CHECK(heap.take(2 * page, 1) == 3 * page);
  CHECK(heap.take(page, 1) == page);
  CHECK(heap.take(page, 1) == 6 * page);
}

TEST_CASE("what is given back is taken again only after the next barrier") {
  OffsetHeap heap(4 * page);
  heap.take(page, 7);
  heap.give_back(0, 7);
  CHECK(heap.take(page, 7) == page);
  CHECK(heap.take(page, 8) == 0U);
  heap.give_back(page, 8);
  CHECK(heap.take(page, 8) == 2 * page);
  CHECK(heap.take(page, 10) == page);
}

TEST_CASE("a full heap gives nothing, and gives again what comes back") {
  OffsetHeap heap(2 * page);
  CHECK_FALSE(heap.take(2 * page + 1, 0));
  CHECK(heap.take(2 * page, 0) == 0U);
  CHECK_FALSE(heap.take(0, 0));
  heap.give_back(0, 0);
  CHECK_FALSE(heap.take(1, 0));
  CHECK(heap.take(1, 1) == 0U);
  CHECK_FALSE(heap.take(page + 1, 1));
  CHECK(heap.take(page, 1) == page);
}

TEST_CASE("a heap that ends within a page, an empty one, and more bytes than there are") {
  OffsetHeap ragged(2 * page - 1);
  CHECK(ragged.take(page, 0) == 0U);
  CHECK_FALSE(ragged.take(1, 0));
  OffsetHeap empty(0);
  CHECK_FALSE(empty.take(0, 0));
  OffsetHeap heap(page);
  CHECK_FALSE(heap.take(std::numeric_limits<std::size_t>::max(), 0));
  CHECK(heap.high_water() == 0);
  OffsetHeap endless(std::numeric_limits<std::size_t>::max());
  CHECK(endless.take(page, 0) == 0U);
}

TEST_CASE("a heap knows how much of it was ever needed, and which blocks are out") {
  OffsetHeap heap(16 * page);
  CHECK(heap.fingerprint() == 0);
  CHECK(heap.high_water() == 0);
  heap.take(3 * page, 0);
  heap.take(1, 0);
  CHECK(heap.high_water() == 4 * page);
  OffsetHeap same(16 * page);
  same.take(3 * page, 0);
  CHECK(same.fingerprint() != heap.fingerprint());
  same.take(1, 0);
  CHECK(same.fingerprint() == heap.fingerprint());
  heap.give_back(0, 0);
  heap.take(page, 0);  // behind what may still be read
  CHECK(heap.high_water() == 5 * page);
  heap.take(3 * page, 1);
  CHECK(heap.high_water() == 5 * page);
  for (const std::size_t taken : {0U, 3U, 4U}) heap.give_back(taken * page, 1);
  CHECK(heap.fingerprint() == 0);
  CHECK(heap.high_water() == 5 * page);
}
