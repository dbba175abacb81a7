// The stages that treat atoms one by one: products, gates and heads of rows [a0, a0 + n).
#ifndef PAINN_NODES_H
#define PAINN_NODES_H
#include "state.h"
#include "worker.h"

namespace {

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

// Whether block k's new vectors are of use: after the last block only the response heads read them.
template <class T>
bool gives_vectors(const Step<T>& s, const PainnTask& task, int k) {
  return k + 1 < s.w.n_blocks || task.stacks;
}

template <class T>
void mixing(const Step<T>& s, const PainnTask& task, int k, ThreadBuffers<T>& t, int a0, int n) {
  using V = typename Simd<T>::V;
  const ptrdiff_t f = s.w.f;
  const bool gated = gives_vectors(s, task, k);
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
  const ptrdiff_t wide = gated ? 3 * f : 2 * f;
  const Linear<T>& mix2 = gated ? b.mix2 : b.mix2_short;
  T* y = st.y + a0 * wide;
  product<T>(n, t.h, f, mix2.forward, y, wide, Start::bias, mix2.bias);
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *yi = y + i * wide;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      const V w0 = load<T>(v + f + c), w1 = load<T>(v + 3 * f + c), w2 = load<T>(v + 5 * f + c);
      const V dot = load<T>(v + c) * w0 + load<T>(v + 2 * f + c) * w1 + load<T>(v + 4 * f + c) * w2;
      add_to<T>(q + i * f + c, load<T>(yi + c) + load<T>(yi + wide - f + c) * dot);
      if (!gated) continue;
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
void mixing_backward(const Step<T>& s, const PainnTask& task, int k, ThreadBuffers<T>& t, T* gm_all, int a0, int n) {
  using V = typename Simd<T>::V;
  const ptrdiff_t f = s.w.f;
  const bool last = k + 1 == s.w.n_blocks, gated = gives_vectors(s, task, k);
  const ptrdiff_t wide = gated ? 3 * f : 2 * f;
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
      if (!gated) continue;
      store<T>(out + f + c,
               last ? splat<T>(T(0))
                    : load<T>(g + c) * w0 + load<T>(g + f + c) * w1 + load<T>(g + 2 * f + c) * w2);
    }
  }
  product<T>(n, t.g3, wide, (gated ? b.mix2 : b.mix2_short).backward, t.h, f);
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

}  // namespace
#endif
