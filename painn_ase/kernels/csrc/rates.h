// Rates of change of the atoms' features along given velocities.
#ifndef PAINN_RATES_H
#define PAINN_RATES_H
#include "first.h"

namespace {

template <class T>
void collect_basis_rates(const Step<T>& s, int begin, int end, T* ds, T* dv) {
  const int kp = s.w.kp;
  const ptrdiff_t e = ptrdiff_t(s.n_present) * kp;
  for (int p = begin; p < end; p++) {
    const ptrdiff_t i = s.pairs.i[p], j = s.pairs.j[p];
    const ptrdiff_t zi = ptrdiff_t(s.local[i]) * kp, zj = ptrdiff_t(s.local[j]) * kp;
    const T *phi = s.pairs.phi + ptrdiff_t(p) * kp, *u = s.pairs.u + 3 * ptrdiff_t(p);
    const T *tphi = s.rates.tphi + ptrdiff_t(p) * kp, *tu = s.rates.tu + 3 * ptrdiff_t(p);
    add_row(ds + i * e + zj, tphi, T(1), kp);
    add_row(ds + j * e + zi, tphi, T(1), kp);
    for (int a = 0; a < 3; a++) {
      add_row(dv + (3 * i + a) * e + zj, tphi, u[a], kp);
      add_row(dv + (3 * i + a) * e + zj, phi, tu[a], kp);
      add_row(dv + (3 * j + a) * e + zi, tphi, -u[a], kp);
      add_row(dv + (3 * j + a) * e + zi, phi, -tu[a], kp);
    }
  }
}

// Rates of the first block's sums, from rates of the basis; the embedding does not change.
template <class T>
void first_rates(const Step<T>& s, T* tmu_all, int a0, int n) {
  const Weights<T>& w = s.w;
  const ptrdiff_t f = w.f, e = ptrdiff_t(s.n_present) * w.kp;
  for (int z = 0; z < s.n_present; z++) {
    const FirstBlock<T>& b = w.first[s.present[z]];
    const ptrdiff_t at = ptrdiff_t(z) * w.kp;
    const Start start = z ? Start::accumulate : Start::zero;
    product<T>(n, s.ds + a0 * e + at, e, b.scalar, s.gq + a0 * f, f, start);
    product<T>(3 * n, s.dv + 3 * a0 * e + at, e, b.vector, tmu_all + 3 * a0 * f, f, start);
  }
}

template <class T>
void context_rates(const Step<T>& s, int k, ThreadBuffers<T>& t, int a0, int n) {
  const ptrdiff_t f = s.w.f;
  const Block<T>& b = s.w.blocks[k];
  product<T>(n, s.gq + a0 * f, f, b.context0.forward, t.h, f);
  const T* PAINN_RESTRICT slope = s.blocks[k].dz1 + a0 * f;
  T* PAINN_RESTRICT h = t.h;
  for (ptrdiff_t c = 0; c < n * f; c++) h[c] *= slope[c];
  product<T>(n, t.h, f, b.context2.forward, s.gx + 3 * a0 * f, 3 * f);
}

template <class T>
void mixing_rates(const Step<T>& s, int k, ThreadBuffers<T>& t, T* tmu_all, int a0, int n) {
  using V = typename Simd<T>::V;
  const ptrdiff_t f = s.w.f;
  const Block<T>& b = s.w.blocks[k];
  const BlockState<T>& st = s.blocks[k];
  T *tq = s.gq + a0 * f, *tmu = tmu_all + 3 * a0 * f;
  const T *vw = st.vw + 6 * a0 * f, *y = st.y + 3 * a0 * f;
  product<T>(3 * n, tmu, f, b.vectors.forward, t.gvw, 2 * f);
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *tv = t.gvw + i * 6 * f, *inverse = st.inverse + (a0 + i) * f;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      V change = splat<T>(T(0));
      for (int a = 0; a < 3; a++) change += load<T>(v + 2 * a * f + c) * load<T>(tv + 2 * a * f + c);
      store<T>(t.norm + i * f + c, change * load<T>(inverse + c));
    }
  }
  product<T>(n, tq, f, b.mix0.forward, t.h, f);
  product<T>(n, t.norm, f, b.mix0_norm, t.h, f, Start::accumulate);
  {
    const T* PAINN_RESTRICT slope = st.dz2 + a0 * f;
    T* PAINN_RESTRICT h = t.h;
    for (ptrdiff_t c = 0; c < n * f; c++) h[c] *= slope[c];
  }
  product<T>(n, t.h, f, b.mix2.forward, t.g3, 3 * f);
  for (int i = 0; i < n; i++) {
    const T *v = vw + i * 6 * f, *tv = t.gvw + i * 6 * f, *yi = y + i * 3 * f, *ty = t.g3 + i * 3 * f;
    for (ptrdiff_t c = 0; c < f; c += lanes<T>) {
      V dot = splat<T>(T(0)), tdot = dot;
      for (int a = 0; a < 3; a++) {
        const V left = load<T>(v + 2 * a * f + c), right = load<T>(v + (2 * a + 1) * f + c);
        const V tright = load<T>(tv + (2 * a + 1) * f + c);
        dot += left * right;
        tdot += load<T>(tv + 2 * a * f + c) * right + left * tright;
        add_to<T>(tmu + (3 * i + a) * f + c,
                  load<T>(ty + f + c) * right + load<T>(yi + f + c) * tright);
      }
      add_to<T>(tq + i * f + c, load<T>(ty + c) + load<T>(ty + 2 * f + c) * dot +
                                    load<T>(yi + 2 * f + c) * tdot);
    }
  }
}

}  // namespace
#endif
