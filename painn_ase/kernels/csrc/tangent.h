// Messages along pairs and their rates of change while the atoms move with given velocities.
//
// Forward-mode differentiation: one pass gives the time derivative of every feature, and with it
// those of dipole and polarizability, for less than the cost of one backward pass.
#ifndef PAINN_TANGENT_H
#define PAINN_TANGENT_H
#include "edges.h"

namespace {

// Rates of the pair geometry: tu (., 3) of the unit vector, tphi (., kp) of the basis rows.
template <class T>
struct PairRates {
  T *tu, *tphi;
};

// Inputs and outputs of one block: features and their rates (leading t).
template <class T>
struct RateArrays {
  const T *x, *tx, *mu, *tmu;  // (N, 3F) each
  T *tq, *tout;                // (N, F), (N, 3F) to add to
};

template <class T, int NV>
PAINN_INLINE void tangent_chunk(const Pairs<T>& ps, const T* tu_all, int p0, const Runs& runs,
                                int f, int c0, const T* PAINN_RESTRICT w,
                                const T* PAINN_RESTRICT tw, const RateArrays<T>& r) {
  using V = typename Simd<T>::V;
  constexpr int vl = lanes<T>, width = NV * vl;
  const ptrdiff_t f3 = 3 * ptrdiff_t(f);
  for (int run = 0; run < runs.n; run++) {
    const int begin = runs.begin[run], end = runs.begin[run + 1];
    const ptrdiff_t i = ps.i[p0 + begin];
    for (int v = 0; v < NV; v++) {
      const int c = c0 + v * vl;
      const T *xi = r.x + i * f3 + c, *txi = r.tx + i * f3 + c;
      const T *mi = r.mu + i * f3 + c, *tmi = r.tmu + i * f3 + c;
      V sq = splat<T>(T(0)), s[3] = {sq, sq, sq};
      for (int p = begin; p < end; p++) {
        const ptrdiff_t j = ps.j[p0 + p], at = ptrdiff_t(p) * 3 * width + v * vl;
        const V wa = load<T>(w + at), wb = load<T>(w + at + width), wc = load<T>(w + at + 2 * width);
        const V ta = load<T>(tw + at), tb = load<T>(tw + at + width);
        const V tc = load<T>(tw + at + 2 * width);
        const T *xj = r.x + j * f3 + c, *txj = r.tx + j * f3 + c;
        const T *mj = r.mu + j * f3 + c, *tmj = r.tmu + j * f3 + c;
        const T *u = ps.u + 3 * ptrdiff_t(p0 + p), *tu = tu_all + 3 * ptrdiff_t(p0 + p);
        sq += load<T>(txj) * wa + load<T>(xj) * ta;
        add_to<T>(r.tq + j * f + c, load<T>(txi) * wa + load<T>(xi) * ta);
        const V xbj = load<T>(xj + f), xcj = load<T>(xj + 2 * f);
        const V xbi = load<T>(xi + f), xci = load<T>(xi + 2 * f);
        const V bi = xbj * wb, tbi = load<T>(txj + f) * wb + xbj * tb;
        const V ci = xcj * wc, tci = load<T>(txj + 2 * f) * wc + xcj * tc;
        const V bj = xbi * wb, tbj = load<T>(txi + f) * wb + xbi * tb;
        const V cj = xci * wc, tcj = load<T>(txi + 2 * f) * wc + xci * tc;
        T* oj = r.tout + j * f3 + c;
        PAINN_UNROLL
        for (int a = 0; a < 3; a++) {
          const V ua = splat<T>(u[a]), tua = splat<T>(tu[a]);
          s[a] += tbi * ua + bi * tua + tci * load<T>(mj + a * f) + ci * load<T>(tmj + a * f);
          add_to<T>(oj + a * f, tcj * load<T>(mi + a * f) + cj * load<T>(tmi + a * f) - tbj * ua -
                                    bj * tua);
        }
      }
      add_to<T>(r.tq + i * f + c, sq);
      PAINN_UNROLL
      for (int a = 0; a < 3; a++) add_to<T>(r.tout + i * f3 + c + a * f, s[a]);
    }
  }
}

template <class T>
void edge_tangent(const Pairs<T>& ps, const PairRates<T>& rates, int p_begin, int p_end, int f,
                  int kp, const Packed<T>& filter, const EdgeScratch<T>& s,
                  const RateArrays<T>& r) {
  constexpr int width = panel_vectors * lanes<T>;
  for (int p0 = p_begin; p0 < p_end; p0 += block_pairs) {
    const int n = p_end - p0 < block_pairs ? p_end - p0 : block_pairs;
    const Runs runs = runs_of(ps.i + p0, n);
    const T *phi = ps.phi + ptrdiff_t(p0) * kp, *tphi = rates.tphi + ptrdiff_t(p0) * kp;
    int c = 0;
    for (; c + width <= f; c += width) {
      chunk_filters<T, panel_vectors>(n, phi, kp, filter, c, s.w);
      chunk_filters<T, panel_vectors>(n, tphi, kp, filter, c, s.dw);
      tangent_chunk<T, panel_vectors>(ps, rates.tu, p0, runs, f, c, s.w, s.dw, r);
    }
    if (c < f) {
      chunk_filters<T, 1>(n, phi, kp, filter, c, s.w);
      chunk_filters<T, 1>(n, tphi, kp, filter, c, s.dw);
      tangent_chunk<T, 1>(ps, rates.tu, p0, runs, f, c, s.w, s.dw, r);
    }
  }
}

// Rates of unit vectors and basis rows of pairs [begin, end) for velocities (N, 3).
template <class T>
void pair_rates(const Pairs<T>& ps, const PairRates<T>& rates, const double* velocities, int begin,
                int end, int kp) {
  for (int p = begin; p < end; p++) {
    const double *vi = velocities + 3 * ptrdiff_t(ps.i[p]), *r = ps.r + 3 * ptrdiff_t(p);
    const double *vj = velocities + 3 * ptrdiff_t(ps.j[p]), inverse = 1. / ps.d[p];
    double td = 0.;
    for (int a = 0; a < 3; a++) td += r[a] * inverse * (vj[a] - vi[a]);
    for (int a = 0; a < 3; a++)
      rates.tu[3 * ptrdiff_t(p) + a] = T((vj[a] - vi[a] - td * r[a] * inverse) * inverse);
    const T rate = T(td);
    const T* PAINN_RESTRICT dphi = ps.dphi + ptrdiff_t(p) * kp;
    T* PAINN_RESTRICT tphi = rates.tphi + ptrdiff_t(p) * kp;
    for (int k = 0; k < kp; k++) tphi[k] = dphi[k] * rate;
  }
}

}  // namespace
#endif
