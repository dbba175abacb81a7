// The first block's pair side: sums of the basis over neighbours, and what comes back to the pairs.
#ifndef PAINN_FIRST_H
#define PAINN_FIRST_H
#include "state.h"

namespace {

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

}  // namespace
#endif
