// What a step keeps between its stages, and where in one block of memory it lies.
#ifndef PAINN_STATE_H
#define PAINN_STATE_H
#include "arena.h"
#include "tangent.h"
#include "weights.h"

namespace {

template <class T>
struct ThreadBuffers {
  T* rows;       // zeros between stages: private messages (null for the first thread)
  T *h, *g3, *gc, *gvw, *norm;  // node stage, block_atoms rows
  EnergyRoom<T> energy;
  EdgeScratch<T> edge;
  uint8_t* touched;  // blocks of atoms whose private rows are not zero between stages
  GatedScratch<T> head, head_out;
  double *forces, *virial;
  int p_begin, p_end;  // this thread's pairs inside the cutoff
};

template <class T>
struct BlockState {
  T *x, *dz1;               // (N, 3F), (N, F): messages of the senders, slope of their SiLU
  T* mu;                    // (N, 3, F): vectors that enter the block; they end in the next one's
  T *vw, *inverse, *dz2, *y;  // (N, 3, 2F), 1/|V| (N, F), (N, F), (N, 3F)
};

template <class T>
struct Step {
  PainnServices services;
  Weights<T> w;
  void* arena = nullptr;
  int max_atoms = 0, max_pairs = 0, max_systems = 0, max_present = 0, max_threads = 0;
  BlockState<T>* blocks = nullptr;  // n_blocks + 1: the last holds the final vectors
  Pairs<T> pairs{};
  PairRates<T> rates{};
  ThreadBuffers<T>* threads = nullptr;
  T *q, *gq, *gm[2], *gx;
  T *ds, *dv;          // (N, E, kp), (N, 3, E, kp): basis summed over neighbours per element
  int32_t* local;      // (N,) index of the atom's element among those present
  int32_t* present;    // elements present
  int n_present = 0;
  bool with_rates = false, with_stacks = false;  // whether there is room for them
};

template <class T>
void lay_out(GatedScratch<T>& g, Bump& m, size_t wide) {
  g.vw = m.take<T>(6 * wide);
  g.norm = m.take<T>(wide);
  g.h = m.take<T>(wide);
  g.slope = m.take<T>(wide);
  g.y = m.take<T>(2 * wide);
  g.out = m.take<T>(4 * wide);
  g.tvw = m.take<T>(6 * wide);
  g.tnorm = m.take<T>(wide);
  g.th = m.take<T>(wide);
  g.ty = m.take<T>(2 * wide);
  g.tout = m.take<T>(4 * wide);
}

template <class T>
void lay_out(Step<T>& s, Bump& m) {
  const Weights<T>& w = s.w;
  const size_t n = s.max_atoms, f = w.f, p = s.max_pairs, e = size_t(s.max_present) * w.kp;
  for (int k = 0; k <= w.n_blocks; k++) {
    BlockState<T>& b = s.blocks[k];
    b.mu = k ? m.take<T>(n * 3 * f) : nullptr;
    if (k == w.n_blocks) break;
    b.x = k ? m.take<T>(n * 3 * f) : nullptr;
    b.dz1 = k ? m.take<T>(n * f) : nullptr;
    b.vw = m.take<T>(n * 6 * f);
    b.inverse = m.take<T>(n * f);
    b.dz2 = m.take<T>(n * f);
    b.y = m.take<T>(n * 3 * f);
  }
  s.pairs.i = m.take<int32_t>(p);
  s.pairs.j = m.take<int32_t>(p);
  s.pairs.source = m.take<int32_t>(p);
  s.pairs.r = m.take<double>(3 * p);
  s.pairs.d = m.take<double>(p + group);
  s.pairs.u = m.take<T>(3 * p);
  s.pairs.phi = m.take<T>(p * w.kp);
  s.pairs.dphi = m.take<T>(p * w.kp);
  s.pairs.gd = m.take<T>(p);
  s.pairs.gu = m.take<T>(3 * p);
  s.rates.tu = m.take<T>(s.with_rates ? 3 * p : 0);
  s.rates.tphi = m.take<T>(s.with_rates ? p * w.kp : 0);
  s.q = m.take<T>(n * f);
  s.gq = m.take<T>(n * f);
  s.gm[0] = m.take<T>(n * 3 * f);
  s.gm[1] = m.take<T>(n * 3 * f);
  s.gx = m.take<T>(n * 3 * f);
  s.ds = m.take<T>(n * e);
  s.dv = m.take<T>(n * 3 * e);
  s.local = m.take<int32_t>(n);
  s.present = m.take<int32_t>(w.n_elements);
  for (int t = 0; t < s.max_threads; t++) {
    ThreadBuffers<T>& b = s.threads[t];
    b.rows = t ? m.take<T>(n * (4 * e > 6 * f ? 4 * e : 6 * f)) : nullptr;
    b.touched = m.take<uint8_t>(n / block_atoms + 1);
    b.h = m.take<T>(block_atoms * f);
    b.g3 = m.take<T>(block_atoms * 3 * f);
    b.gc = m.take<T>(block_atoms * 2 * f);
    b.gvw = m.take<T>(block_atoms * 6 * f);
    b.norm = m.take<T>(block_atoms * f);
    lay_out(b.energy, m, w.energy);
    b.edge.w = m.take<T>(block_pairs * 3 * panel_vectors * lanes<T>);
    b.edge.dw = m.take<T>(block_pairs * 3 * panel_vectors * lanes<T>);
    b.edge.sums = m.take<T>(block_pairs * 4 * lanes<T>);
    const size_t wide = s.with_stacks ? size_t(w.widest_stack) * block_atoms : 0;
    lay_out(b.head, m, wide);
    b.head_out.out = m.take<T>(4 * wide);
    b.head_out.tout = m.take<T>(4 * wide);
    b.forces = m.take<double>(3 * n);
    b.virial = m.take<double>(9 * size_t(s.max_systems));
  }
}

// Which elements occur, and room for this many atoms, pairs and threads. Shrinks never.
template <class T>
int prepare(Step<T>& s, const PainnTask& task, int n_threads) {
  constexpr int most_elements = 119;
  int32_t slot[most_elements];
  for (int e = 0; e < s.w.n_elements; e++) slot[e] = -1;
  int n_present = 0;
  for (int i = 0; i < task.n_atoms; i++)
    if (slot[task.species[i]] < 0) slot[task.species[i]] = n_present++;
  if (!s.arena || task.n_atoms > s.max_atoms || task.n_pairs > s.max_pairs ||
      (task.velocities && !s.with_rates) || (task.stacks && !s.with_stacks) ||
      task.n_systems > s.max_systems || n_present > s.max_present || n_threads > s.max_threads) {
    s.with_rates = s.with_rates || task.velocities;
    s.with_stacks = s.with_stacks || task.stacks;
    s.max_atoms = roomier(s.max_atoms, task.n_atoms);
    s.max_pairs = roomier(s.max_pairs, task.n_pairs);
    s.max_systems = roomier(s.max_systems, task.n_systems);
    s.max_present = n_present > s.max_present ? n_present : s.max_present;
    if (n_threads > s.max_threads) {
      s.services.release(s.threads);
      s.max_threads = n_threads;
      s.threads = static_cast<ThreadBuffers<T>*>(
          s.services.allocate(sizeof(ThreadBuffers<T>) * n_threads));
    }
    s.services.release(s.arena);
    s.arena = nullptr;
    if (!s.threads) {
      s.max_threads = 0;
      return 1;
    }
    Bump count{nullptr, 0};
    lay_out(s, count);
    s.arena = s.services.allocate(count.used);
    if (!s.arena) return 1;
    Bump give{static_cast<char*>(s.arena), 0};
    lay_out(s, give);
  }
  for (int i = 0; i < task.n_atoms; i++) s.local[i] = slot[task.species[i]];
  for (int e = 0; e < s.w.n_elements; e++)
    if (slot[e] >= 0) s.present[slot[e]] = e;
  s.n_present = n_present;
  return 0;
}

}  // namespace
#endif
