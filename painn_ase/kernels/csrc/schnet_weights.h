// A SchNet model's weights, packed once.
#ifndef PAINN_SCHNET_WEIGHTS_H
#define PAINN_SCHNET_WEIGHTS_H
#include "basis.h"
#include "energy.h"

namespace {

// One block: y = W_in x;  v_i = Σ y_j ∘ w(d) f(d);  x_i += W_4 ssp(W_3 v_i + b_3) + b_4, with the
// filter w(d) = W_2 ssp(W_1 φ(d) + b_1) + b_2.
template <class T>
struct Convolution {
  Packed<T> filter0;  // (B + 1) × G: W_1, and b_1 as the last row
  Packed<T> filter2;  // (G + 1) × G: W_2, and b_2 as the last row
  Linear<T> carry;    // F → G: W_in
  Linear<T> update0;  // G → F: W_3
  Linear<T> update2;  // F → F: W_4
};

template <class T>
struct SchNetWeights {
  int f0 = 0, f = 0, g0 = 0, g = 0;  // features and filters, and both padded to whole vectors
  int n_blocks = 0, n_elements = 0;
  int kp = 0;      // row of the basis: phi | 1 | 0
  int filter = 0;  // row inside the filter: f·ssp(…) | f | 0
  Basis basis{};   // without the cutoff function, which comes after the filter's layers
  Basis cutoff{};
  double *centers = nullptr, *widths = nullptr;
  T* embedding = nullptr;  // (n_elements, F)
  Convolution<T>* blocks = nullptr;
  EnergyHead<T> energy;
  bool complete = false;
};

constexpr int schnet_tensors = 9;  // of a block, in the order of abi.h

// x·W^T + b as one product for rows that end with a one.
template <class T>
Packed<T> pack_with_bias(const PainnServices& s, const double* w, const double* b, int n_in, int n,
                         int n_padded) {
  return pack<T>(s, n_in + 1, n_padded, panel_vectors, [=](int l, int c) {
    if (c >= n) return 0.;
    return l < n_in ? w[ptrdiff_t(c) * n_in + l] : b[c];
  });
}

template <class T>
bool build_convolution(SchNetWeights<T>& w, const PainnServices& s, const PainnModel& m, int k) {
  const double* const* t = m.tensors + 1 + schnet_tensors * k;
  const Axis features{w.f0, w.f, 1}, filters{w.g0, w.g, 1};
  Convolution<T>& b = w.blocks[k];
  b.carry.build(s, t[0], nullptr, filters, features);
  b.filter0 = pack_with_bias<T>(s, t[1], t[2], m.n_rbf, w.g0, w.g);
  b.filter2 = pack_with_bias<T>(s, t[3], t[4], w.g0, w.g0, w.g);
  b.update0.build(s, t[5], t[6], features, filters);
  b.update2.build(s, t[7], t[8], features, features);
  return b.carry.complete() && b.filter0.data && b.filter2.data && b.update0.complete() &&
         b.update0.bias && b.update2.complete() && b.update2.bias;
}

template <class T>
void build_weights(SchNetWeights<T>& w, const PainnServices& s, const PainnModel& m) {
  w.f0 = m.n_features;
  w.f = padded<T>(w.f0);
  w.g0 = m.n_filters;
  w.g = padded<T>(w.g0);
  w.n_blocks = m.n_interactions;
  w.n_elements = m.n_elements;
  w.kp = padded<T>(m.n_rbf + 1);
  w.filter = padded<T>(w.g0 + 1);
  w.centers = copy_doubles(s, m.centers, m.n_rbf);
  w.widths = copy_doubles(s, m.widths, m.radial_basis ? m.n_rbf : 0);
  w.basis = Basis{m.n_rbf, m.radial_basis, no_cutoff, m.cutoff, w.centers, w.widths};
  w.cutoff = w.basis;
  w.cutoff.cutoff_function = m.cutoff_function;
  w.embedding = static_cast<T*>(s.allocate(sizeof(T) * size_t(m.n_elements) * w.f));
  w.blocks = static_cast<Convolution<T>*>(s.allocate(sizeof(Convolution<T>) * w.n_blocks));
  if (!w.centers || !w.widths || !w.embedding || !w.blocks) return;
  for (int e = 0; e < m.n_elements; e++)
    for (int c = 0; c < w.f0; c++)
      w.embedding[ptrdiff_t(e) * w.f + c] = T(m.tensors[0][ptrdiff_t(e) * w.f0 + c]);
  bool complete = build_energy(w.energy, s, m, m.tensors + 1 + schnet_tensors * w.n_blocks,
                               Axis{w.f0, w.f, 1});
  for (int k = 0; k < w.n_blocks; k++) complete = build_convolution(w, s, m, k) && complete;
  w.complete = complete;
}

template <class T>
void free_weights(SchNetWeights<T>& w, const PainnServices& s) {
  for (int k = 0; w.blocks && k < w.n_blocks; k++) {
    Convolution<T>& b = w.blocks[k];
    s.release(b.filter0.data);
    s.release(b.filter2.data);
    b.carry.free(s);
    b.update0.free(s);
    b.update2.free(s);
  }
  free_energy(w.energy, s);
  s.release(w.blocks);
  s.release(w.embedding);
  s.release(w.centers);
  s.release(w.widths);
}

}  // namespace
#endif
