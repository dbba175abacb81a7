// One block of memory for everything that a step keeps, handed out in pieces.
#ifndef PAINN_ARENA_H
#define PAINN_ARENA_H
#include <stddef.h>

namespace {

// Hands out aligned pieces; with a null base it only counts.
struct Bump {
  char* base;
  size_t used;
  template <class U>
  U* take(size_t n) {
    U* p = base ? reinterpret_cast<U*>(base + used) : nullptr;
    used += (n * sizeof(U) + 127) / 64 * 64;  // a line to spare: rows never end at a page's edge
    return p;
  }
};

// What room to make where `need` is asked for: more than that, so that growing ends soon; no less
// than there was.
inline int roomier(int have, int need) { return need > have ? need + need / 8 : have; }

}  // namespace
#endif
