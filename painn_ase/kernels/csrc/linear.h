// Weights padded to whole vectors and packed for the products of both passes.
//
// Padding channels hold zeros everywhere and stay zero through the network, so any width works.
#ifndef PAINN_LINEAR_H
#define PAINN_LINEAR_H
#include "abi.h"
#include "gemm.h"

namespace {

constexpr int block_atoms = 48;  // atoms whose rows pass through all products of a stage together

template <class T>
PAINN_INLINE int padded(int n) {
  return (n + lanes<T> - 1) / lanes<T> * lanes<T>;
}

// Where a padded index lies in an unpadded axis of `sections` parts of `n`; -1 in the padding.
struct Axis {
  int n, n_padded, sections;
  int size() const { return n_padded * sections; }
  int operator()(int index) const {
    const int section = index / n_padded, c = index % n_padded;
    return c < n ? section * n + c : -1;
  }
};

template <class T, class Value>
Packed<T> pack(const PainnServices& s, int k, int n_columns, int vectors, Value value) {
  Packed<T> out;
  out.k = k;
  out.n_columns = n_columns;
  out.data = static_cast<T*>(s.allocate(sizeof(T) * size_t(k) * n_columns));
  if (!out.data) return out;
  const int width = vectors * lanes<T>;
  for (int column = 0; column < n_columns; column += width) {
    const int w = n_columns - column < width ? n_columns - column : width;
    T* panel = out.data + ptrdiff_t(column) * k;
    for (int l = 0; l < k; l++)
      for (int c = 0; c < w; c++) panel[l * w + c] = static_cast<T>(value(l, column + c));
  }
  return out;
}

// x·W^T for W (out, in): the product of the forward pass.
template <class T>
Packed<T> pack_forward(const PainnServices& s, const double* w, Axis out, Axis in, int n_in) {
  return pack<T>(s, in.size(), out.size(), panel_vectors, [=](int l, int c) {
    const int o = out(c), i = in(l);
    return o < 0 || i < 0 ? 0. : w[ptrdiff_t(o) * n_in + i];
  });
}
// g·W: the product of the backward pass.
template <class T>
Packed<T> pack_backward(const PainnServices& s, const double* w, Axis out, Axis in, int n_in) {
  return pack<T>(s, out.size(), in.size(), panel_vectors, [=](int l, int c) {
    const int o = out(l), i = in(c);
    return o < 0 || i < 0 ? 0. : w[ptrdiff_t(o) * n_in + i];
  });
}
template <class T>
T* pad_vector(const PainnServices& s, const double* v, Axis axis) {
  T* out = static_cast<T*>(s.allocate(sizeof(T) * axis.size()));
  for (int c = 0; out && c < axis.size(); c++) out[c] = axis(c) < 0 ? T(0) : T(v[axis(c)]);
  return out;
}

inline double* copy_doubles(const PainnServices& s, const double* from, int n) {
  double* out = static_cast<double*>(s.allocate(sizeof(double) * (n + 1)));
  if (out && n) std::memcpy(out, from, sizeof(double) * n);
  return out;
}

template <class T>
struct Linear {
  Packed<T> forward, backward;
  T* bias = nullptr;
  void build(const PainnServices& s, const double* w, const double* b, Axis out, Axis in) {
    forward = pack_forward<T>(s, w, out, in, in.n * in.sections);
    backward = pack_backward<T>(s, w, out, in, in.n * in.sections);
    bias = b ? pad_vector<T>(s, b, out) : nullptr;
  }
  bool complete() const { return forward.data && backward.data; }
  void free(const PainnServices& s) {
    s.release(forward.data);
    s.release(backward.data);
    s.release(bias);
  }
};

}  // namespace
#endif
