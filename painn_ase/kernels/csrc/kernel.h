// One PaiNN step: energies, forces and virial, forward and backward written out by hand.
//
// Included once per instruction set by kernel_*.cpp, which name the namespace. Threads own ranges
// of atoms in the node stages and ranges of pairs in the edge stages. All but the first add their
// messages to rows of their own, which the next node stage sums in a fixed order: no atomics, and
// the same result from run to run for the same number of threads.
#ifndef PAINN_KERNEL_H
#define PAINN_KERNEL_H
#include "weights.h"

namespace {

constexpr int block_atoms = 48;

template <class T>
struct ThreadBuffers {
  T* rows;       // zeros between stages: private messages (null for the first thread)
  T *h, *g3, *gc, *gvw, *norm, *hidden, *slope, *gradient;  // node stage, block_atoms rows
  EdgeScratch<T> edge;
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
  ThreadBuffers<T>* threads = nullptr;
  T *q, *gq, *gm[2], *gx;
  T *ds, *dv;          // (N, E, kp), (N, 3, E, kp): basis summed over neighbours per element
  int32_t* local;      // (N,) index of the atom's element among those present
  int32_t* present;    // elements present
  int n_present = 0;
};

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
    b.h = m.take<T>(block_atoms * f);
    b.g3 = m.take<T>(block_atoms * 3 * f);
    b.gc = m.take<T>(block_atoms * 2 * f);
    b.gvw = m.take<T>(block_atoms * 6 * f);
    b.norm = m.take<T>(block_atoms * f);
    b.hidden = m.take<T>(block_atoms * (w.total_hidden + 1));
    b.slope = m.take<T>(block_atoms * (w.total_hidden + 1));
    b.gradient = m.take<T>(2 * block_atoms * (w.widest_hidden + 1));
    b.edge.w = m.take<T>(block_pairs * 3 * panel_vectors * lanes<T>);
    b.edge.dw = m.take<T>(block_pairs * 3 * panel_vectors * lanes<T>);
    b.edge.sums = m.take<T>(block_pairs * 4 * lanes<T>);
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
  auto more = [](int have, int need) { return need > have ? need + need / 8 : have; };
  if (!s.arena || task.n_atoms > s.max_atoms || task.n_pairs > s.max_pairs ||
      task.n_systems > s.max_systems || n_present > s.max_present || n_threads > s.max_threads) {
    s.max_atoms = more(s.max_atoms, task.n_atoms);
    s.max_pairs = more(s.max_pairs, task.n_pairs);
    s.max_systems = more(s.max_systems, task.n_systems);
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

// ---------------------------------------------------------------- first block, pair side

template <class T>
PAINN_INLINE void add_row(T* PAINN_RESTRICT to, const T* PAINN_RESTRICT from, T factor, int n) {
  const auto v = splat<T>(factor);
  for (int c = 0; c < n; c += lanes<T>) add_to<T>(to + c, v * load<T>(from + c));
}

// Sums of the basis over neighbours, per element of the neighbour: D_i^Z += phi, C_i^Z += u phi.
template <class T>
void collect_basis(const Step<T>& s, int begin, int end, T* ds, T* dv) {
  const int kp = s.w.kp;
  const ptrdiff_t e = ptrdiff_t(s.n_present) * kp;
  for (int p = begin; p < end; p++) {
    const ptrdiff_t i = s.pairs.i[p], j = s.pairs.j[p];
    const ptrdiff_t zi = ptrdiff_t(s.local[i]) * kp, zj = ptrdiff_t(s.local[j]) * kp;
    const T *phi = s.pairs.phi + ptrdiff_t(p) * kp, *u = s.pairs.u + 3 * ptrdiff_t(p);
    add_row(ds + i * e + zj, phi, T(1), kp);
    add_row(ds + j * e + zi, phi, T(1), kp);
    for (int a = 0; a < 3; a++) {
      add_row(dv + (3 * i + a) * e + zj, phi, u[a], kp);
      add_row(dv + (3 * j + a) * e + zi, phi, -u[a], kp);
    }
  }
}

// The first block's share of dE/dd and dE/du, and from them forces and virial.
template <class T>
void pair_forces(const Step<T>& s, const PainnTask& task, ThreadBuffers<T>& b) {
  using V = typename Simd<T>::V;
  const int kp = s.w.kp;
  const ptrdiff_t e = ptrdiff_t(s.n_present) * kp;
  const Pairs<T>& ps = s.pairs;
  for (int p = b.p_begin; p < b.p_end; p++) {
    const ptrdiff_t i = ps.i[p], j = ps.j[p];
    const ptrdiff_t zi = ptrdiff_t(s.local[i]) * kp, zj = ptrdiff_t(s.local[j]) * kp;
    const T *gi = s.ds + i * e + zj, *gj = s.ds + j * e + zi, *u = ps.u + 3 * ptrdiff_t(p);
    const T *vi = s.dv + 3 * i * e + zj, *vj = s.dv + 3 * j * e + zi;
    const T *phi = ps.phi + ptrdiff_t(p) * kp, *dphi = ps.dphi + ptrdiff_t(p) * kp;
    V sd = splat<T>(T(0)), s0 = sd, s1 = sd, s2 = sd;
    const V u0 = splat<T>(u[0]), u1 = splat<T>(u[1]), u2 = splat<T>(u[2]);
    for (int c = 0; c < kp; c += lanes<T>) {
      const V t0 = load<T>(vi + c) - load<T>(vj + c);
      const V t1 = load<T>(vi + e + c) - load<T>(vj + e + c);
      const V t2 = load<T>(vi + 2 * e + c) - load<T>(vj + 2 * e + c);
      const V value = load<T>(phi + c);
      sd += load<T>(dphi + c) * (load<T>(gi + c) + load<T>(gj + c) + t0 * u0 + t1 * u1 + t2 * u2);
      s0 += value * t0;
      s1 += value * t1;
      s2 += value * t2;
    }
    const double* r = ps.r + 3 * ptrdiff_t(p);
    const double inverse = 1. / ps.d[p], gd = double(ps.gd[p]) + sum<T>(sd);
    const double gu[3] = {double(ps.gu[3 * p]) + sum<T>(s0), double(ps.gu[3 * p + 1]) + sum<T>(s1),
                          double(ps.gu[3 * p + 2]) + sum<T>(s2)};
    const double n[3] = {r[0] * inverse, r[1] * inverse, r[2] * inverse};
    const double along = gu[0] * n[0] + gu[1] * n[1] + gu[2] * n[2];
    double* virial = b.virial + 9 * ptrdiff_t(task.system[i]);
    for (int a = 0; a < 3; a++) {
      const double g = gd * n[a] + (gu[a] - along * n[a]) * inverse;  // dE/dr_ij
      b.forces[3 * i + a] += g;
      b.forces[3 * j + a] -= g;
      for (int c = 0; c < 3; c++) virial[3 * a + c] += g * r[c];
    }
  }
}

// ---------------------------------------------------------------- node stages, atoms [a0, a0 + n)

// Adds rows [r0, r1) of width w of every private buffer, at `offset` there, and clears them.
template <class T>
void gather_rows(const Step<T>& s, int n_threads, T* to, size_t offset, ptrdiff_t r0, ptrdiff_t r1,
                 ptrdiff_t w) {
  for (int t = 1; t < n_threads; t++) {
    T* from = s.threads[t].rows + offset + r0 * w;
    T* out = to + r0 * w;
    for (ptrdiff_t c = 0; c < (r1 - r0) * w; c += lanes<T>) {
      add_to<T>(out + c, load<T>(from + c));
      store<T>(from + c, splat<T>(T(0)));
    }
  }
}

template <class T>
void first_features(const Step<T>& s, const PainnTask& task, int a0, int n) {
  const Weights<T>& w = s.w;
  const ptrdiff_t f = w.f, e = ptrdiff_t(s.n_present) * w.kp;
  T *q = s.q + a0 * f, *mu = s.blocks[1].mu + 3 * a0 * f;
  for (int i = 0; i < n; i++)
    std::memcpy(q + i * f, w.embedding + task.species[a0 + i] * f, sizeof(T) * f);
  for (int z = 0; z < s.n_present; z++) {
    const FirstBlock<T>& b = w.first[s.present[z]];
    const ptrdiff_t at = ptrdiff_t(z) * w.kp;
    product<T>(n, s.ds + a0 * e + at, e, b.scalar, q, f, Start::accumulate);
    product<T>(3 * n, s.dv + 3 * a0 * e + at, e, b.vector, mu, f,
               z ? Start::accumulate : Start::zero);
  }
}

template <class T>
void first_gradient(const Step<T>& s, const T* gm, int a0, int n) {
  const Weights<T>& w = s.w;
  const ptrdiff_t f = w.f, e = ptrdiff_t(s.n_present) * w.kp;
  for (int z = 0; z < s.n_present; z++) {
    const FirstBlock<T>& b = w.first[s.present[z]];
    const ptrdiff_t at = ptrdiff_t(z) * w.kp;
    product<T>(n, s.gq + a0 * f, f, b.scalar_back, s.ds + a0 * e + at, e);
    product<T>(3 * n, gm + 3 * a0 * f, f, b.vector_back, s.dv + 3 * a0 * e + at, e);
  }
}

// x = MLP(q) of block k, and the vectors it starts from copied to where it adds its messages.
template <class T>
void context(const Step<T>& s, int k, ThreadBuffers<T>& t, int a0, int n) {
  const ptrdiff_t f = s.w.f;
  const Block<T>& b = s.w.blocks[k];
  const BlockState<T>& st = s.blocks[k];
  product<T>(n, s.q + a0 * f, f, b.context0.forward, t.h, f, Start::bias, b.context0.bias);
  silu_with_slope(t.h, st.dz1 + a0 * f, n * f);
  product<T>(n, t.h, f, b.context2.forward, st.x + 3 * a0 * f, 3 * f, Start::bias, b.context2.bias);
  std::memcpy(s.blocks[k + 1].mu + 3 * a0 * f, st.mu + 3 * a0 * f, sizeof(T) * 3 * n * f);
}

template <class T>
void context_backward(const Step<T>& s, int k, ThreadBuffers<T>& t, int a0, int n) {
  const ptrdiff_t f = s.w.f;
  const Block<T>& b = s.w.blocks[k];
  product<T>(n, s.gx + 3 * a0 * f, 3 * f, b.context2.backward, t.h, f);
  const T* PAINN_RESTRICT slope = s.blocks[k].dz1 + a0 * f;
  T* PAINN_RESTRICT h = t.h;
  for (ptrdiff_t c = 0; c < n * f; c++) h[c] *= slope[c];
  product<T>(n, t.h, f, b.context0.backward, s.gq + a0 * f, f, Start::accumulate);
}

template <class T>
void mixing(const Step<T>& s, int k, ThreadBuffers<T>& t, int a0, int n) {
  using V = typename Simd<T>::V;
  const ptrdiff_t f = s.w.f;
  const bool last = k + 1 == s.w.n_blocks;
  const Block<T>& b = s.w.blocks[k];
  const BlockState<T>& st = s.blocks[k];
  T *q = s.q + a0 * f, *mu = s.blocks[k + 1].mu + 3 * a0 * f, *vw = st.vw + 6 * a0 * f;
  product<T>(3 * n, mu, f, b.vectors.forward, vw, 2 * f);
  for (int i = 0; i < n; i++) {
    const T* PAINN_RESTRICT v = vw + i * 6 * f;
    T *PAINN_RESTRICT norm = t.norm + i * f, *PAINN_RESTRICT inverse = st.inverse + (a0 + i) * f;
    const T epsilon = T(s.w.epsilon);
    PAINN_SIMD_LOOP
    for (ptrdiff_t c = 0; c < f; c++) {
      const T square = v[c] * v[c] + v[2 * f + c] * v[2 * f + c] + v[4 * f + c] * v[4 * f + c];
      norm[c] = std::sqrt(square + epsilon);
      inverse[c] = norm[c] > T(0) ? T(1) / norm[c] : T(0);
    }
  }
  product<T>(n, q, f, b.mix0.forward, t.h, f, Start::bias, b.mix0.bias);
  product<T>(n, t.norm, f, b.mix0_norm, t.h, f, Start::accumulate);
  silu_with_slope(t.h, st.dz2 + a0 * f, n * f);
  const ptrdiff_t wide = last ? 2 * f : 3 * f;
  T* y = st.y + a0 * wide;
  product<T>(n, t.h, f, b.mix2.forward, y, wide, Start::bias, b.mix2.bias);
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *yi = y + i * wide;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      const V w0 = load<T>(v + f + c), w1 = load<T>(v + 3 * f + c), w2 = load<T>(v + 5 * f + c);
      const V dot = load<T>(v + c) * w0 + load<T>(v + 2 * f + c) * w1 + load<T>(v + 4 * f + c) * w2;
      add_to<T>(q + i * f + c, load<T>(yi + c) + load<T>(yi + wide - f + c) * dot);
      if (last) continue;
      const V gate = load<T>(yi + f + c);
      T* m = mu + i * 3 * f + c;
      add_to<T>(m, gate * w0);
      add_to<T>(m + f, gate * w1);
      add_to<T>(m + 2 * f, gate * w2);
    }
  }
}

// gq and gm (rows of the atoms) from gradients of block k's results to those of its messages.
template <class T>
void mixing_backward(const Step<T>& s, int k, ThreadBuffers<T>& t, T* gm_all, int a0, int n) {
  using V = typename Simd<T>::V;
  const ptrdiff_t f = s.w.f;
  const bool last = k + 1 == s.w.n_blocks;
  const ptrdiff_t wide = last ? 2 * f : 3 * f;
  const Block<T>& b = s.w.blocks[k];
  const BlockState<T>& st = s.blocks[k];
  T *gq = s.gq + a0 * f, *gm = gm_all + 3 * a0 * f;
  const T *vw = st.vw + 6 * a0 * f, *y = st.y + a0 * wide;
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *g = gm + i * 3 * f;
    T* out = t.g3 + i * wide;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      const V w0 = load<T>(v + f + c), w1 = load<T>(v + 3 * f + c), w2 = load<T>(v + 5 * f + c);
      const V dot = load<T>(v + c) * w0 + load<T>(v + 2 * f + c) * w1 + load<T>(v + 4 * f + c) * w2;
      const V a = load<T>(gq + i * f + c);
      store<T>(out + c, a);
      store<T>(out + wide - f + c, a * dot);
      if (last) continue;
      store<T>(out + f + c,
               load<T>(g + c) * w0 + load<T>(g + f + c) * w1 + load<T>(g + 2 * f + c) * w2);
    }
  }
  product<T>(n, t.g3, wide, b.mix2.backward, t.h, f);
  {
    const T* PAINN_RESTRICT slope = st.dz2 + a0 * f;
    T* PAINN_RESTRICT h = t.h;
    for (ptrdiff_t c = 0; c < n * f; c++) h[c] *= slope[c];
  }
  product<T>(n, t.h, f, b.mix0.backward, t.gc, 2 * f);
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *yi = y + i * wide, *g = gm + i * 3 * f, *gc = t.gc + i * 2 * f;
    const T* inverse = st.inverse + (a0 + i) * f;
    T* out = t.gvw + i * 6 * f;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      const V a = load<T>(gq + i * f + c), along = a * load<T>(yi + wide - f + c);
      const V norm = load<T>(gc + f + c) * load<T>(inverse + c);
      const V gate = last ? splat<T>(T(0)) : load<T>(yi + f + c);
      for (int axis = 0; axis < 3; axis++) {
        const T* vi = v + 2 * axis * f + c;
        const V vv = load<T>(vi), ww = load<T>(vi + f);
        store<T>(out + 2 * axis * f + c, along * ww + norm * vv);
        V gw = along * vv;
        if (!last) gw += gate * load<T>(g + axis * f + c);
        store<T>(out + (2 * axis + 1) * f + c, gw);
      }
      store<T>(gq + i * f + c, a + load<T>(gc + c));
    }
  }
  product<T>(3 * n, t.gvw, 2 * f, b.vectors.backward, gm, f, last ? Start::zero : Start::accumulate);
}

// Atomic energies, and with `derivatives` dE/dq into gq.
template <class T>
void energy_head(const Step<T>& s, const PainnTask& task, ThreadBuffers<T>& t, int a0, int n) {
  using V = typename Simd<T>::V;
  const Weights<T>& w = s.w;
  const ptrdiff_t f = w.f;
  const T* in = s.q + a0 * f;
  ptrdiff_t width = f, at = 0;
  for (int l = 0; l < w.n_hidden; l++) {
    T* out = t.hidden + at;
    product<T>(n, in, width, w.energy[l].forward, out, w.hidden[l], Start::bias, w.energy[l].bias);
    silu_with_slope(out, t.slope + at, n * ptrdiff_t(w.hidden[l]));
    at += ptrdiff_t(w.hidden[l]) * n;
    in = out;
    width = w.hidden[l];
  }
  for (int i = 0; i < n; i++) {
    V e = splat<T>(T(0));
    for (ptrdiff_t c = 0; c < width; c += lanes<T>)
      e += load<T>(in + i * width + c) * load<T>(w.energy_out + c);
    task.energies[a0 + i] = w.scale * (double(sum<T>(e)) + w.energy_bias) +
                            w.reference[task.species[a0 + i]];
  }
  if (!task.derivatives) return;
  T *gradient = t.gradient, *next = t.gradient + block_atoms * ptrdiff_t(w.widest_hidden);
  if (w.n_hidden == 0) gradient = s.gq + a0 * f;
  const V scale = splat<T>(T(w.scale));
  for (int i = 0; i < n; i++)
    for (ptrdiff_t c = 0; c < width; c += lanes<T>)
      store<T>(gradient + i * width + c, scale * load<T>(w.energy_out + c));
  for (int l = w.n_hidden - 1; l >= 0; l--) {
    width = w.hidden[l];
    at -= width * n;
    for (ptrdiff_t c = 0; c < n * width; c += lanes<T>)
      store<T>(gradient + c, load<T>(gradient + c) * load<T>(t.slope + at + c));
    T* out = l ? next : s.gq + a0 * f;
    product<T>(n, gradient, width, w.energy[l].backward, out, l ? w.hidden[l - 1] : f);
    next = gradient;
    gradient = out;
  }
}

// ---------------------------------------------------------------- the step

template <class T>
struct Stepper {
  Step<T>& s;
  const PainnTask& task;
  const PainnTeam& team;
  int thread;
  double last = 0.;

  void clock(int stage) {
    if (thread != 0 || !task.seconds) return;
    const double t = s.services.now();
    if (stage >= 0) task.seconds[stage] += t - last;
    last = t;
  }
  void barrier() {
    if (team.n_threads > 1) team.barrier(team.team);
  }
  int share(int n, int t) const { return static_cast<int>(int64_t(n) * t / team.n_threads); }

  template <class Stage>
  void for_atoms(Stage stage) {
    const int begin = share(task.n_atoms, thread), end = share(task.n_atoms, thread + 1);
    for (int a = begin; a < end; a += block_atoms)
      stage(a, end - a < block_atoms ? end - a : block_atoms);
  }

  void geometry(ThreadBuffers<T>& b) {
    const int kp = s.w.kp;
    b.p_begin = share(task.n_pairs, thread);
    b.p_end = close_pairs(task, b.p_begin, share(task.n_pairs, thread + 1), s.w.basis.cutoff, s.pairs);
    for (int p = b.p_begin; p < b.p_end; p += group) {
      const int n = b.p_end - p < group ? b.p_end - p : group;
      basis_rows<T>(s.w.basis, n, s.pairs.d + p, kp, s.pairs.phi + ptrdiff_t(p) * kp,
                    s.pairs.dphi + ptrdiff_t(p) * kp);
    }
    const ptrdiff_t e = ptrdiff_t(s.n_present) * kp * task.n_atoms;
    if (thread == 0) {
      std::memset(s.ds, 0, sizeof(T) * e);
      std::memset(s.dv, 0, sizeof(T) * 3 * e);
    }
    collect_basis(s, b.p_begin, b.p_end, thread ? b.rows : s.ds, thread ? b.rows + e : s.dv);
  }

  // From features after the messages of block k to those before the messages of the next, or on
  // to the energy and, where derivatives are wanted, back to before the messages of the last.
  void forward_nodes(ThreadBuffers<T>& b, int k, T* gm) {
    const ptrdiff_t f = s.w.f, e = ptrdiff_t(s.n_present) * s.w.kp, n_all = task.n_atoms;
    for_atoms([&](int a, int n) {
      if (k == 0) {
        gather_rows(s, team.n_threads, s.ds, 0, a, a + n, e);
        gather_rows(s, team.n_threads, s.dv, size_t(n_all * e), 3 * a, 3 * (a + n), e);
        first_features(s, task, a, n);
      } else {
        gather_rows(s, team.n_threads, s.q, 0, a, a + n, f);
        gather_rows(s, team.n_threads, s.blocks[k + 1].mu, size_t(n_all * f), a, a + n, 3 * f);
      }
      mixing(s, k, b, a, n);
      if (k + 1 < s.w.n_blocks) {
        context(s, k + 1, b, a, n);
        return;
      }
      energy_head(s, task, b, a, n);
      if (task.derivatives) backward_mixing(b, k, gm, a, n);
    });
  }

  void backward_mixing(ThreadBuffers<T>& b, int k, T* gm, int a, int n) {
    const ptrdiff_t f = s.w.f;
    mixing_backward(s, k, b, gm, a, n);
    if (k == 0) {
      first_gradient(s, gm, a, n);
      return;
    }
    std::memset(s.gx + 3 * a * f, 0, sizeof(T) * 3 * n * f);
    T* other = gm == s.gm[0] ? s.gm[1] : s.gm[0];
    std::memcpy(other + 3 * a * f, gm + 3 * a * f, sizeof(T) * 3 * n * f);
  }

  void backward_nodes(ThreadBuffers<T>& b, int k, T* gm) {
    const ptrdiff_t f = s.w.f, n_all = task.n_atoms;
    for_atoms([&](int a, int n) {
      gather_rows(s, team.n_threads, s.gx, 0, a, a + n, 3 * f);
      gather_rows(s, team.n_threads, gm, size_t(3 * n_all * f), a, a + n, 3 * f);
      context_backward(s, k, b, a, n);
      backward_mixing(b, k - 1, gm, a, n);
    });
  }

  void collect() {
    for (int i = share(task.n_atoms, thread); i < share(task.n_atoms, thread + 1); i++)
      for (int a = 0; a < 3; a++) {
        double sum = 0.;
        for (int t = 0; t < team.n_threads; t++) sum += s.threads[t].forces[3 * ptrdiff_t(i) + a];
        task.forces[3 * ptrdiff_t(i) + a] = sum;
      }
    if (thread) return;
    for (int c = 0; c < 9 * task.n_systems; c++) {
      task.virial[c] = 0.;
      for (int t = 0; t < team.n_threads; t++) task.virial[c] += s.threads[t].virial[c];
    }
  }

  void run() {
    ThreadBuffers<T>& b = s.threads[thread];
    const int n_blocks = s.w.n_blocks;
    const ptrdiff_t f = s.w.f, n_all = task.n_atoms;
    clock(-1);
    geometry(b);
    barrier();
    clock(0);
    T *gm = s.gm[0], *gm_next = s.gm[1];
    forward_nodes(b, 0, gm);
    clock(1);
    for (int k = 1; k < n_blocks; k++) {
      barrier();
      edge_forward(s.pairs, b.p_begin, b.p_end, s.w.f, s.w.kp, s.w.blocks[k].filter, b.edge,
                   s.blocks[k].x, s.blocks[k].mu, thread ? b.rows : s.q,
                   thread ? b.rows + n_all * f : s.blocks[k + 1].mu);
      barrier();
      clock(2);
      forward_nodes(b, k, gm);
      clock(1);
    }
    if (task.derivatives) {
      std::memset(s.pairs.gd + b.p_begin, 0, sizeof(T) * (b.p_end - b.p_begin));
      std::memset(s.pairs.gu + 3 * ptrdiff_t(b.p_begin), 0, sizeof(T) * 3 * (b.p_end - b.p_begin));
      std::memset(b.forces, 0, sizeof(double) * 3 * task.n_atoms);
      std::memset(b.virial, 0, sizeof(double) * 9 * task.n_systems);
      for (int k = n_blocks - 1; k > 0; k--) {
        barrier();
        edge_backward(s.pairs, b.p_begin, b.p_end, s.w.f, s.w.kp, s.w.blocks[k].filter, b.edge,
                      s.blocks[k].x, s.blocks[k].mu, s.gq, gm, thread ? b.rows : s.gx,
                      thread ? b.rows + 3 * n_all * f : gm_next);
        barrier();
        clock(3);
        T* swap = gm;
        gm = gm_next;
        gm_next = swap;
        backward_nodes(b, k, gm);
        clock(4);
      }
      barrier();
      pair_forces(s, task, b);
      barrier();
      collect();
      clock(5);
    }
    barrier();
    if (thread) return;
    for (int k = 0; k < task.n_systems; k++) task.energy[k] = 0.;
    for (int i = 0; i < task.n_atoms; i++) task.energy[task.system[i]] += task.energies[i];
  }
};

// ---------------------------------------------------------------- the table the dispatcher calls

template <class T>
void destroy(void* self) {
  Step<T>* s = static_cast<Step<T>*>(self);
  const PainnServices services = s->services;
  free_weights(s->w, services);
  services.release(s->arena);
  services.release(s->threads);
  services.release(s->blocks);
  services.release(s);
}

template <class T>
void* create(const PainnModel* model, const PainnServices* services) {
  void* memory = services->allocate(sizeof(Step<T>));
  if (!memory) return nullptr;
  Step<T>* s = new (memory) Step<T>();
  s->services = *services;
  build_weights(s->w, *services, *model);
  s->blocks = static_cast<BlockState<T>*>(
      services->allocate(sizeof(BlockState<T>) * (model->n_interactions + 1)));
  if (!s->w.complete || !s->blocks) {
    destroy<T>(s);
    return nullptr;
  }
  return s;
}

template <class T>
int prepare_step(void* self, const PainnTask* task, int n_threads) {
  return prepare(*static_cast<Step<T>*>(self), *task, n_threads);
}

template <class T>
void run_step(void* self, const PainnTask* task, const PainnTeam* team, int thread) {
  Stepper<T>{*static_cast<Step<T>*>(self), *task, *team, thread}.run();
}

template <class T>
const PainnKernel* kernel_table() {
  static const PainnKernel table = {create<T>, destroy<T>, prepare_step<T>, run_step<T>};
  return &table;
}

}  // namespace
#endif
