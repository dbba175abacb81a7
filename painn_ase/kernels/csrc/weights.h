// A model's weights, packed once, and the first block's products of element and filter.
#ifndef PAINN_WEIGHTS_H
#define PAINN_WEIGHTS_H
#include "abi.h"
#include "basis.h"
#include "energy.h"
#include "heads.h"

namespace {

// One interaction and mixing block.
template <class T>
struct Block {
  Packed<T> filter;              // (B + 1) × 3F, in chunks of three panels
  Linear<T> context0, context2;  // F → F → 3F
  Linear<T> vectors;             // F → 2F
  Linear<T> mix0;                // forward holds the q half; backward both halves
  Packed<T> mix0_norm;           // the half of mix0 that reads |V|
  Linear<T> mix2;                // F → 3F (a, b, c)
  Linear<T> mix2_short;          // of the last block: F → 2F (a, c), where nobody reads vectors
};

// The first block sees only the elements: message sums factor into sums of the basis per element
// of the neighbour (pairs × B work) times a matrix per element (atoms × B × F work).
template <class T>
struct FirstBlock {
  Packed<T> scalar, scalar_back, vector, vector_back;
};

template <class T>
struct Weights {
  int f0 = 0, f = 0, n_blocks = 0, kp = 0, k = 0, n_elements = 0;
  double epsilon = 0.;
  Basis basis{};
  double *centers = nullptr, *widths = nullptr;
  T* embedding = nullptr;  // (n_elements, F)
  Block<T>* blocks = nullptr;
  FirstBlock<T>* first = nullptr;  // per element
  EnergyHead<T> energy;
  int n_stacks = 0, widest_stack = 0;
  GatedStack<T> stacks[PAINN_MAX_STACKS] = {};
  bool complete = false;
};

inline double silu_exact(double x) { return x / (1. + std::exp(-x)); }

// x = MLP(embedding) of each element in float64: what the first block's neighbours send.
inline void element_messages(const PainnModel& m, const double* const* t, double* hidden, double* x) {
  const int f = m.n_features;
  const double *emb = m.tensors[0], *w0 = t[0], *b0 = t[1], *w2 = t[2], *b2 = t[3];
  for (int e = 0; e < m.n_elements; e++) {
    for (int o = 0; o < f; o++) {
      double z = b0[o];
      for (int c = 0; c < f; c++) z += w0[ptrdiff_t(o) * f + c] * emb[ptrdiff_t(e) * f + c];
      hidden[o] = silu_exact(z);
    }
    for (int o = 0; o < 3 * f; o++) {
      double z = b2[o];
      for (int c = 0; c < f; c++) z += w2[ptrdiff_t(o) * f + c] * hidden[c];
      x[ptrdiff_t(e) * 3 * f + o] = z;
    }
  }
}

template <class T>
void build_block(Weights<T>& w, const PainnServices& s, const PainnModel& m, int k) {
  const int f0 = w.f0, f = w.f, n_rbf = m.n_rbf;
  const Axis one{f0, f, 1}, two{f0, f, 2}, three{f0, f, 3};
  const double* const* filters = m.tensors + 1 + 2 * k;
  const double* const* t = m.tensors + 1 + 2 * w.n_blocks + 9 * k;
  Block<T>& b = w.blocks[k];
  constexpr int width = panel_vectors * lanes<T>;
  const double *wf = filters[0], *bf = filters[1];
  // Chunks of `chunk` channels, each as three panels (a, b, c): column -> (part, channel).
  b.filter.k = w.k;
  b.filter.n_columns = 3 * f;
  b.filter.data = static_cast<T*>(s.allocate(sizeof(T) * size_t(w.k) * 3 * f));
  for (int c0 = 0; b.filter.data && c0 < f; c0 += width) {
    const int n = f - c0 < width ? f - c0 : width;
    for (int part = 0; part < 3; part++)
      for (int l = 0; l < w.k; l++)
        for (int c = 0; c < n; c++) {
          const int row = part * f0 + c0 + c;
          const double v = c0 + c >= f0 ? 0. : (l < n_rbf ? wf[ptrdiff_t(row) * n_rbf + l] : bf[row]);
          b.filter.data[(ptrdiff_t(c0) * 3 + part * n) * w.k + l * n + c] = T(v);
        }
  }
  b.context0.build(s, t[0], t[1], one, one);
  b.context2.build(s, t[2], t[3], three, one);
  b.vectors.build(s, t[4], nullptr, two, one);
  b.mix0.build(s, t[5], t[6], one, two);
  s.release(b.mix0.forward.data);
  b.mix0.forward = pack_forward<T>(s, t[5], one, one, 2 * f0);
  b.mix0_norm = pack_forward<T>(s, t[5] + f0, one, one, 2 * f0);
  b.mix2.build(s, t[7], t[8], three, one);
  if (k + 1 < w.n_blocks) return;
  const ptrdiff_t part = ptrdiff_t(f0) * f0;
  double* ac = static_cast<double*>(s.allocate(sizeof(double) * (2 * part + 2 * f0)));
  if (!ac) return;
  std::memcpy(ac, t[7], sizeof(double) * part);
  std::memcpy(ac + part, t[7] + 2 * part, sizeof(double) * part);
  std::memcpy(ac + 2 * part, t[8], sizeof(double) * f0);
  std::memcpy(ac + 2 * part + f0, t[8] + 2 * f0, sizeof(double) * f0);
  b.mix2_short.build(s, ac, ac + 2 * part, two, one);
  s.release(ac);
}

template <class T>
void build_first(Weights<T>& w, const PainnServices& s, const PainnModel& m) {
  const int f0 = w.f0, f = w.f, n_rbf = m.n_rbf, k = w.k, kp = w.kp;
  double* hidden = static_cast<double*>(s.allocate(sizeof(double) * f0));
  double* x = static_cast<double*>(s.allocate(sizeof(double) * size_t(m.n_elements) * 3 * f0));
  if (hidden && x) {
    element_messages(m, m.tensors + 1 + 2 * w.n_blocks, hidden, x);
    const double *wf = m.tensors[1], *bf = m.tensors[2];
    for (int e = 0; e < m.n_elements; e++) {
      for (int part = 0; part < 2; part++) {
        auto value = [=](int l, int c) {
          if (c >= f0 || l >= k) return 0.;
          const int row = part * f0 + c;
          return x[ptrdiff_t(e) * 3 * f0 + row] * (l < n_rbf ? wf[ptrdiff_t(row) * n_rbf + l] : bf[row]);
        };
        auto transposed = [=](int l, int c) { return value(c, l); };
        FirstBlock<T>& b = w.first[e];
        (part ? b.vector : b.scalar) = pack<T>(s, k, f, panel_vectors, value);
        (part ? b.vector_back : b.scalar_back) = pack<T>(s, f, kp, panel_vectors, transposed);
      }
    }
  }
  s.release(hidden);
  s.release(x);
}

template <class T>
bool build_stacks(Weights<T>& w, const PainnServices& s, const PainnModel& m) {
  w.n_stacks = m.n_stacks;
  w.widest_stack = w.f;
  bool complete = true;
  for (int k = 0; k < m.n_stacks; k++) {
    const PainnStack& from = m.stacks[k];
    GatedStack<T>& to = w.stacks[k];
    const int f = m.n_features, h = from.n_hidden;
    to.epsilon = T(from.epsilon);
    complete = build_gated(to.blocks[0], s, from.tensors, GatedSizes{f, f, h, h, f}) && complete;
    complete = build_gated(to.blocks[1], s, from.tensors + 5,
                           GatedSizes{h, h, from.n_scalars, from.n_vectors, h}) &&
               complete;
    for (const GatedBlock<T>& b : to.blocks) {
        if (b.s_out > w.widest_stack) w.widest_stack = b.s_out;
        if (b.v_out > w.widest_stack) w.widest_stack = b.v_out;
        if (b.hidden > w.widest_stack) w.widest_stack = b.hidden;
    }
  }
  return complete;
}

template <class T>
void build_weights(Weights<T>& w, const PainnServices& s, const PainnModel& m) {
  w.f0 = m.n_features;
  w.f = padded<T>(m.n_features);
  w.n_blocks = m.n_interactions;
  w.n_elements = m.n_elements;
  w.k = m.n_rbf + 1;
  w.kp = padded<T>(w.k);
  w.epsilon = m.epsilon;
  w.centers = copy_doubles(s, m.centers, m.n_rbf);
  w.widths = copy_doubles(s, m.widths, m.radial_basis ? m.n_rbf : 0);
  w.basis = Basis{m.n_rbf, m.radial_basis, m.cutoff_function, m.cutoff, w.centers, w.widths};
  w.embedding = static_cast<T*>(s.allocate(sizeof(T) * size_t(m.n_elements) * w.f));
  w.blocks = static_cast<Block<T>*>(s.allocate(sizeof(Block<T>) * w.n_blocks));
  w.first = static_cast<FirstBlock<T>*>(s.allocate(sizeof(FirstBlock<T>) * m.n_elements));
  if (!w.centers || !w.widths || !w.embedding || !w.blocks || !w.first) return;
  for (int e = 0; e < m.n_elements; e++)
    for (int c = 0; c < w.f0; c++)
      w.embedding[ptrdiff_t(e) * w.f + c] = T(m.tensors[0][ptrdiff_t(e) * w.f0 + c]);
  for (int k = 0; k < w.n_blocks; k++) build_block(w, s, m, k);
  build_first(w, s, m);
  bool complete =
      build_energy(w.energy, s, m, m.tensors + 1 + 11 * w.n_blocks, Axis{w.f0, w.f, 1});
  complete = build_stacks(w, s, m) && complete;
  for (int k = 0; k < w.n_blocks; k++) {
    const Block<T>& b = w.blocks[k];
    complete = complete && b.filter.data && b.context0.complete() && b.context2.complete() &&
               b.vectors.complete() && b.mix0.complete() && b.mix0_norm.data && b.mix2.complete() &&
               (k + 1 < w.n_blocks || b.mix2_short.complete());
  }
  for (int e = 0; e < m.n_elements; e++) {
    const FirstBlock<T>& b = w.first[e];
    complete = complete && b.scalar.data && b.scalar_back.data && b.vector.data && b.vector_back.data;
  }
  w.complete = complete;
}

template <class T>
void free_weights(Weights<T>& w, const PainnServices& s) {
  for (int k = 0; w.blocks && k < w.n_blocks; k++) {
    Block<T>& b = w.blocks[k];
    s.release(b.filter.data);
    s.release(b.mix0_norm.data);
    b.context0.free(s);
    b.context2.free(s);
    b.vectors.free(s);
    b.mix0.free(s);
    b.mix2.free(s);
    b.mix2_short.free(s);
  }
  for (int e = 0; w.first && e < w.n_elements; e++) {
    s.release(w.first[e].scalar.data);
    s.release(w.first[e].scalar_back.data);
    s.release(w.first[e].vector.data);
    s.release(w.first[e].vector_back.data);
  }
  free_energy(w.energy, s);
  for (int k = 0; k < w.n_stacks; k++)
    for (GatedBlock<T>& b : w.stacks[k].blocks) free_gated(b, s);
  s.release(w.blocks);
  s.release(w.first);
  s.release(w.embedding);
  s.release(w.centers);
  s.release(w.widths);
}

}  // namespace
#endif
