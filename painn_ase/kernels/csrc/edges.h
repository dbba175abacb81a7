// Messages along pairs: the part of the step whose cost grows with the number of neighbours.
//
// Every pair (i, j) stands once and serves both directions, since the filter depends on the
// distance alone. Filters W = (f·phi)·Wf are evaluated for a block of pairs and a chunk of channels
// small enough for the first-level cache, used, and forgotten; the backward pass evaluates them
// again together with dW/dd. Pairs of one atom i follow each other, so its rows stay in registers.
#ifndef PAINN_EDGES_H
#define PAINN_EDGES_H
#include "gemm.h"

namespace {

constexpr int block_pairs = 32;

// The pairs inside the cutoff, as structure of arrays.
template <class T>
struct Pairs {
  int32_t *i, *j, *source;  // atoms, and the row in the caller's list
  double *r, *d;            // (., 3) vector and (.) distance, Å
  T *u, *phi, *dphi;        // (., 3) unit vector; (., kp) f·basis | f | 0 and its derivative
  T *gd, *gu;               // (.) and (., 3) dE/dd and dE/du, added up over the blocks
};

template <class T>
struct EdgeScratch {
  T *w, *dw;  // (block_pairs, 3, panel) filters and their derivatives
  T* sums;    // (block_pairs, 4, lanes) partial sums of gd, gu over channels
};

// Runs of equal i inside a block of pairs.
struct Runs {
  int n = 0;
  int begin[block_pairs + 1];
};
PAINN_INLINE Runs runs_of(const int32_t* i, int n) {
  Runs r;
  for (int p = 0; p < n; p++)
    if (p == 0 || i[p] != i[p - 1]) r.begin[r.n++] = p;
  r.begin[r.n] = n;
  return r;
}

// q_i += x_j^a·Wa, mu_i += u·x_j^b·Wb + mu_j·x_j^c·Wc, and the same for j with -u.
template <class T, int NV>
PAINN_INLINE void forward_chunk(const Pairs<T>& ps, int p0, const Runs& runs, int f, int c0,
                                const T* PAINN_RESTRICT w, const T* x, const T* mu, T* q, T* out) {
  using V = typename Simd<T>::V;
  constexpr int vl = lanes<T>, width = NV * vl;
  const ptrdiff_t f3 = 3 * ptrdiff_t(f);
  for (int run = 0; run < runs.n; run++) {
    const int begin = runs.begin[run], end = runs.begin[run + 1];
    const ptrdiff_t i = ps.i[p0 + begin];
    for (int v = 0; v < NV; v++) {
      const int c = c0 + v * vl;
      const T *xi = x + i * f3 + c, *mi = mu + i * f3 + c;
      const V xa = load<T>(xi), xb = load<T>(xi + f), xc = load<T>(xi + 2 * f);
      const V m0 = load<T>(mi), m1 = load<T>(mi + f), m2 = load<T>(mi + 2 * f);
      V aq = splat<T>(T(0)), a0 = aq, a1 = aq, a2 = aq;
      for (int p = begin; p < end; p++) {
        const ptrdiff_t j = ps.j[p0 + p];
        const T* wp = w + ptrdiff_t(p) * 3 * width + v * vl;
        const V wa = load<T>(wp), wb = load<T>(wp + width), wc = load<T>(wp + 2 * width);
        const T *u = ps.u + 3 * ptrdiff_t(p0 + p), *xj = x + j * f3 + c, *mj = mu + j * f3 + c;
        const V u0 = splat<T>(u[0]), u1 = splat<T>(u[1]), u2 = splat<T>(u[2]);
        const V bi = load<T>(xj + f) * wb, ci = load<T>(xj + 2 * f) * wc;
        aq += load<T>(xj) * wa;
        a0 += bi * u0 + ci * load<T>(mj);
        a1 += bi * u1 + ci * load<T>(mj + f);
        a2 += bi * u2 + ci * load<T>(mj + 2 * f);
        const V bj = xb * wb, cj = xc * wc;
        T *qj = q + j * f + c, *oj = out + j * f3 + c;
        add_to<T>(qj, xa * wa);
        add_to<T>(oj, cj * m0 - bj * u0);
        add_to<T>(oj + f, cj * m1 - bj * u1);
        add_to<T>(oj + 2 * f, cj * m2 - bj * u2);
      }
      add_to<T>(q + i * f + c, aq);
      add_to<T>(out + i * f3 + c, a0);
      add_to<T>(out + i * f3 + c + f, a1);
      add_to<T>(out + i * f3 + c + 2 * f, a2);
    }
  }
}

// With a = dE/dq and g = dE/dmu (receivers): gradients of x, mu, d and u of every pair.
template <class T, int NV>
PAINN_INLINE void backward_chunk(const Pairs<T>& ps, int p0, const Runs& runs, int f, int c0,
                                 const T* PAINN_RESTRICT w, const T* PAINN_RESTRICT dw,
                                 T* PAINN_RESTRICT sums, const T* x, const T* mu, const T* a,
                                 const T* g, T* gx, T* gmu) {
  using V = typename Simd<T>::V;
  constexpr int vl = lanes<T>, width = NV * vl;
  const ptrdiff_t f3 = 3 * ptrdiff_t(f);
  for (int run = 0; run < runs.n; run++) {
    const int begin = runs.begin[run], end = runs.begin[run + 1];
    const ptrdiff_t i = ps.i[p0 + begin];
    for (int v = 0; v < NV; v++) {
      const int c = c0 + v * vl;
      const T *xi = x + i * f3 + c, *mi = mu + i * f3 + c, *gi = g + i * f3 + c;
      const V xia = load<T>(xi), xib = load<T>(xi + f), xic = load<T>(xi + 2 * f);
      const V mi0 = load<T>(mi), mi1 = load<T>(mi + f), mi2 = load<T>(mi + 2 * f);
      const V gi0 = load<T>(gi), gi1 = load<T>(gi + f), gi2 = load<T>(gi + 2 * f);
      const V ai = load<T>(a + i * f + c);
      V sxa = splat<T>(T(0)), sxb = sxa, sxc = sxa, sm0 = sxa, sm1 = sxa, sm2 = sxa;
      for (int p = begin; p < end; p++) {
        const ptrdiff_t j = ps.j[p0 + p];
        const ptrdiff_t at = ptrdiff_t(p) * 3 * width + v * vl;
        const V wa = load<T>(w + at), wb = load<T>(w + at + width), wc = load<T>(w + at + 2 * width);
        const T* u = ps.u + 3 * ptrdiff_t(p0 + p);
        const V u0 = splat<T>(u[0]), u1 = splat<T>(u[1]), u2 = splat<T>(u[2]);
        const T *xj = x + j * f3 + c, *mj = mu + j * f3 + c, *gj = g + j * f3 + c;
        T *gxj = gx + j * f3 + c, *nj = gmu + j * f3 + c;
        const V gj0 = load<T>(gj), gj1 = load<T>(gj + f), gj2 = load<T>(gj + 2 * f);
        const V aj = load<T>(a + j * f + c);
        const V xja = load<T>(xj), xjb = load<T>(xj + f), xjc = load<T>(xj + 2 * f);
        const V gbi = gi0 * u0 + gi1 * u1 + gi2 * u2;
        const V gbj = gj0 * u0 + gj1 * u1 + gj2 * u2;  // its sign is carried below
        const V gci = gi0 * load<T>(mj) + gi1 * load<T>(mj + f) + gi2 * load<T>(mj + 2 * f);
        const V gcj = gj0 * mi0 + gj1 * mi1 + gj2 * mi2;
        V sd = (ai * xja + aj * xia) * load<T>(dw + at);
        sd += (gbi * xjb - gbj * xib) * load<T>(dw + at + width);
        sd += (gci * xjc + gcj * xic) * load<T>(dw + at + 2 * width);
        add_to<T>(gxj, ai * wa);
        add_to<T>(gxj + f, gbi * wb);
        add_to<T>(gxj + 2 * f, gci * wc);
        sxa += aj * wa;
        sxb -= gbj * wb;
        sxc += gcj * wc;
        const V bi = xjb * wb, bj = xib * wb, ci = xjc * wc, cj = xic * wc;
        T* s = sums + ptrdiff_t(p) * 4 * vl;
        add_to<T>(s, sd);
        add_to<T>(s + vl, gi0 * bi - gj0 * bj);
        add_to<T>(s + 2 * vl, gi1 * bi - gj1 * bj);
        add_to<T>(s + 3 * vl, gi2 * bi - gj2 * bj);
        add_to<T>(nj, gi0 * ci);
        add_to<T>(nj + f, gi1 * ci);
        add_to<T>(nj + 2 * f, gi2 * ci);
        sm0 += gj0 * cj;
        sm1 += gj1 * cj;
        sm2 += gj2 * cj;
      }
      T *gxi = gx + i * f3 + c, *ni = gmu + i * f3 + c;
      add_to<T>(gxi, sxa);
      add_to<T>(gxi + f, sxb);
      add_to<T>(gxi + 2 * f, sxc);
      add_to<T>(ni, sm0);
      add_to<T>(ni + f, sm1);
      add_to<T>(ni + 2 * f, sm2);
    }
  }
}

// Filters of one chunk of channels for n pairs: three panels (a, b, c) side by side.
template <class T, int NV>
PAINN_INLINE void chunk_filters(int n, const T* phi, int kp, const Packed<T>& filter, int c0,
                                T* out) {
  constexpr int width = NV * lanes<T>;
  for (int part = 0; part < 3; part++)
    panel_product<T, NV>(n, phi, kp, filter.data + (ptrdiff_t(c0) * 3 + part * width) * filter.k,
                         filter.k, out + part * width, 3 * width, Start::zero, nullptr);
}

template <class T>
void edge_forward(const Pairs<T>& ps, int p_begin, int p_end, int f, int kp,
                  const Packed<T>& filter, const EdgeScratch<T>& s, const T* x, const T* mu, T* q,
                  T* out) {
  constexpr int width = panel_vectors * lanes<T>;
  for (int p0 = p_begin; p0 < p_end; p0 += block_pairs) {
    const int n = p_end - p0 < block_pairs ? p_end - p0 : block_pairs;
    const Runs runs = runs_of(ps.i + p0, n);
    const T* phi = ps.phi + ptrdiff_t(p0) * kp;
    int c = 0;
    for (; c + width <= f; c += width) {
      chunk_filters<T, panel_vectors>(n, phi, kp, filter, c, s.w);
      forward_chunk<T, panel_vectors>(ps, p0, runs, f, c, s.w, x, mu, q, out);
    }
    if (c < f) {
      chunk_filters<T, 1>(n, phi, kp, filter, c, s.w);
      forward_chunk<T, 1>(ps, p0, runs, f, c, s.w, x, mu, q, out);
    }
  }
}

template <class T>
void edge_backward(const Pairs<T>& ps, int p_begin, int p_end, int f, int kp,
                   const Packed<T>& filter, const EdgeScratch<T>& s, const T* x, const T* mu,
                   const T* a, const T* g, T* gx, T* gmu) {
  constexpr int vl = lanes<T>, width = panel_vectors * vl;
  for (int p0 = p_begin; p0 < p_end; p0 += block_pairs) {
    const int n = p_end - p0 < block_pairs ? p_end - p0 : block_pairs;
    const Runs runs = runs_of(ps.i + p0, n);
    const T *phi = ps.phi + ptrdiff_t(p0) * kp, *dphi = ps.dphi + ptrdiff_t(p0) * kp;
    std::memset(s.sums, 0, sizeof(T) * n * 4 * vl);
    int c = 0;
    for (; c + width <= f; c += width) {
      chunk_filters<T, panel_vectors>(n, phi, kp, filter, c, s.w);
      chunk_filters<T, panel_vectors>(n, dphi, kp, filter, c, s.dw);
      backward_chunk<T, panel_vectors>(ps, p0, runs, f, c, s.w, s.dw, s.sums, x, mu, a, g, gx, gmu);
    }
    if (c < f) {
      chunk_filters<T, 1>(n, phi, kp, filter, c, s.w);
      chunk_filters<T, 1>(n, dphi, kp, filter, c, s.dw);
      backward_chunk<T, 1>(ps, p0, runs, f, c, s.w, s.dw, s.sums, x, mu, a, g, gx, gmu);
    }
    for (int p = 0; p < n; p++) {
      const T* t = s.sums + ptrdiff_t(p) * 4 * vl;
      ps.gd[p0 + p] += sum<T>(load<T>(t));
      for (int k = 0; k < 3; k++) ps.gu[3 * (p0 + p) + k] += sum<T>(load<T>(t + (k + 1) * vl));
    }
  }
}

}  // namespace
#endif
