// The energy head: an MLP on the features of each atom, forward and backward.
#ifndef PAINN_ENERGY_H
#define PAINN_ENERGY_H
#include "arena.h"
#include "linear.h"

namespace {

template <class T>
struct EnergyHead {
  int n_hidden = 0, widest = 0, total = 0;  // hidden layers, their widest, and their sum
  double scale = 1., bias = 0.;
  double* reference = nullptr;  // (n_elements,)
  Linear<T>* layers = nullptr;  // the hidden ones
  int* widths = nullptr;        // their padded widths
  T* out = nullptr;             // (last hidden,)
};

// Rows of block_atoms atoms inside the MLP.
template <class T>
struct EnergyRoom {
  T *hidden, *slope, *gradient;
};

template <class T>
void lay_out(EnergyRoom<T>& r, Bump& m, const EnergyHead<T>& w) {
  r.hidden = m.take<T>(block_atoms * (w.total + 1));
  r.slope = m.take<T>(block_atoms * (w.total + 1));
  r.gradient = m.take<T>(2 * block_atoms * (w.widest + 1));
}

// From the MLP's tensors `t`; `in` is the axis of the features.
template <class T>
bool build_energy(EnergyHead<T>& w, const PainnServices& s, const PainnModel& m,
                  const double* const* t, Axis in) {
  w.scale = m.scale;
  w.reference = copy_doubles(s, m.reference, m.n_elements);
  w.n_hidden = m.n_hidden;
  w.layers = static_cast<Linear<T>*>(s.allocate(sizeof(Linear<T>) * (m.n_hidden + 1)));
  w.widths = static_cast<int*>(s.allocate(sizeof(int) * (m.n_hidden + 1)));
  if (!w.reference || !w.layers || !w.widths) return false;
  for (int l = 0; l < m.n_hidden; l++) {
    const Axis out{m.hidden[l], padded<T>(m.hidden[l]), 1};
    w.layers[l].build(s, t[2 * l], t[2 * l + 1], out, in);
    if (!w.layers[l].complete()) return false;
    w.widths[l] = out.n_padded;
    w.total += out.n_padded;
    if (out.n_padded > w.widest) w.widest = out.n_padded;
    in = out;
  }
  w.out = pad_vector<T>(s, t[2 * m.n_hidden], in);
  w.bias = t[2 * m.n_hidden + 1][0];
  return w.out != nullptr;
}

template <class T>
void free_energy(EnergyHead<T>& w, const PainnServices& s) {
  for (int l = 0; w.layers && l < w.n_hidden; l++) w.layers[l].free(s);
  s.release(w.layers);
  s.release(w.widths);
  s.release(w.out);
  s.release(w.reference);
}

// Energies of atoms [a0, a0 + n) from their features q (n, f), and with `derivatives` dE/dq into gq.
template <class T>
void energy_head(const EnergyHead<T>& w, const PainnTask& task, const EnergyRoom<T>& t, const T* q,
                 T* gq, ptrdiff_t f, int a0, int n) {
  using V = typename Simd<T>::V;
  const T* in = q;
  ptrdiff_t width = f, at = 0;
  for (int l = 0; l < w.n_hidden; l++) {
    T* out = t.hidden + at;
    product<T>(n, in, width, w.layers[l].forward, out, w.widths[l], Start::bias, w.layers[l].bias);
    silu_with_slope(out, t.slope + at, n * ptrdiff_t(w.widths[l]));
    at += ptrdiff_t(w.widths[l]) * n;
    in = out;
    width = w.widths[l];
  }
  for (int i = 0; i < n; i++) {
    V e = splat<T>(T(0));
    for (ptrdiff_t c = 0; c < width; c += lanes<T>)
      e += load<T>(in + i * width + c) * load<T>(w.out + c);
    task.energies[a0 + i] = w.scale * (double(sum<T>(e)) + w.bias) +
                            w.reference[task.species[a0 + i]];
  }
  if (!task.derivatives) return;
  T *gradient = t.gradient, *next = t.gradient + block_atoms * ptrdiff_t(w.widest);
  if (w.n_hidden == 0) gradient = gq;
  const V scale = splat<T>(T(w.scale));
  for (int i = 0; i < n; i++)
    for (ptrdiff_t c = 0; c < width; c += lanes<T>)
      store<T>(gradient + i * width + c, scale * load<T>(w.out + c));
  for (int l = w.n_hidden - 1; l >= 0; l--) {
    width = w.widths[l];
    at -= width * n;
    for (ptrdiff_t c = 0; c < n * width; c += lanes<T>)
      store<T>(gradient + c, load<T>(gradient + c) * load<T>(t.slope + at + c));
    T* out = l ? next : gq;
    product<T>(n, gradient, width, w.layers[l].backward, out, l ? w.widths[l - 1] : f);
    next = gradient;
    gradient = out;
  }
}

}  // namespace
#endif
