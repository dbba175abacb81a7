// SchNet's messages along pairs: the filter network and the convolution.
//
// Every pair stands once and serves both directions. The filter is a dense network of one distance:
// its layers run on a block of pairs, its last product on a chunk of channels that is used at once.
// It is kept for the backward pass, which needs its derivative too: G numbers a pair and block, and
// a third of the work saved. The cutoff function is folded into the last product's rows: f·(W_2 h + b_2) = (f·h | f)·(W_2 | b_2), and its
// derivative (f·h' + f'·h | f')·(W_2 | b_2).
#ifndef PAINN_SCHNET_EDGES_H
#define PAINN_SCHNET_EDGES_H
#include "schnet_weights.h"
#include "softplus.h"

namespace {

// Rows of a block of pairs inside the filter network.
template <class T>
struct FilterRoom {
  T *h, *dh, *slope;  // (block_pairs, filter): the hidden layer, its derivative, slope of the ssp
  T *w, *dw;          // (block_pairs, panel) filters of a chunk, where not kept, and derivatives
  T* sums;            // (block_pairs, lanes) partial sums of dE/dd over channels
};

// Pairs and their cutoff function.
template <class T>
struct CutPairs {
  Pairs<T> pairs;
  double *f, *df;  // (.) cutoff function and its derivative
};

// Cutoff functions of pairs [begin, end).
template <class T>
void cutoff_of(const Basis& b, const CutPairs<T>& ps, int begin, int end) {
  for (int p = begin; p < end; p += group) {
    const int n = end - p < group ? end - p : group;
    double d[group], s[group], c[group], f[group], df[group];
    for (int l = 0; l < group; l++) d[l] = l < n ? ps.pairs.d[p + l] : 0.5 * b.cutoff;
    half_turn(b, d, s, c);
    cutoff_values(b, d, s, c, f, df);
    for (int l = 0; l < n; l++) {
      ps.f[p + l] = f[l];
      ps.df[p + l] = df[l];
    }
  }
}

// The hidden layer of n pairs' filters, from pair p0 on: f·ssp(…) | f in `h`, or with `slopes` the
// derivative of that in `dh`.
template <class T>
void hidden_rows(const SchNetWeights<T>& w, const Convolution<T>& block, const CutPairs<T>& ps,
                 int p0, int n, const FilterRoom<T>& r, bool slopes) {
  const ptrdiff_t row = w.filter;
  product<T>(n, ps.pairs.phi + ptrdiff_t(p0) * w.kp, w.kp, block.filter0, r.h, row);
  if (slopes) product<T>(n, ps.pairs.dphi + ptrdiff_t(p0) * w.kp, w.kp, block.filter0, r.dh, row);
  softplus_with_slope(r.h, r.slope, n * row);
  for (int p = 0; p < n; p++) {
    const T f = T(ps.f[p0 + p]), df = T(ps.df[p0 + p]);
    T *h = r.h + p * row, *dh = r.dh + p * row;
    const T* slope = r.slope + p * row;
    const auto vf = splat<T>(f), vdf = splat<T>(df);
    for (ptrdiff_t c = 0; c < w.g; c += lanes<T>)
      if (slopes)
        store<T>(dh + c, vf * (load<T>(slope + c) * load<T>(dh + c)) + vdf * load<T>(h + c));
      else
        store<T>(h + c, vf * load<T>(h + c));
    (slopes ? dh : h)[w.g0] = slopes ? df : f;
  }
}

// v_i += y_j ∘ w, and the same for j.
template <class T, int NV>
PAINN_INLINE void convolve_chunk(const Pairs<T>& ps, int p0, const Runs& runs, ptrdiff_t g, int c0,
                                 const T* PAINN_RESTRICT w, const T* y, T* v) {
  using V = typename Simd<T>::V;
  constexpr int vl = lanes<T>, width = NV * vl;
  for (int run = 0; run < runs.n; run++) {
    const int begin = runs.begin[run], end = runs.begin[run + 1];
    const ptrdiff_t i = ps.i[p0 + begin];
    for (int k = 0; k < NV; k++) {
      const int c = c0 + k * vl;
      const V yi = load<T>(y + i * g + c);
      V sum_i = splat<T>(T(0));
      for (int p = begin; p < end; p++) {
        const ptrdiff_t j = ps.j[p0 + p];
        const V wp = load<T>(w + ptrdiff_t(p) * width + k * vl);
        sum_i += load<T>(y + j * g + c) * wp;
        add_to<T>(v + j * g + c, yi * wp);
      }
      add_to<T>(v + i * g + c, sum_i);
    }
  }
}

// With a = dE/dv (receivers): dE/dd of every pair, and where the senders depend on it dE/dy.
template <class T, int NV>
PAINN_INLINE void convolve_back_chunk(const Pairs<T>& ps, int p0, const Runs& runs, ptrdiff_t g,
                                      int c0, const T* PAINN_RESTRICT w, const T* PAINN_RESTRICT dw,
                                      T* PAINN_RESTRICT sums, const T* y, const T* a, T* gy) {
  using V = typename Simd<T>::V;
  constexpr int vl = lanes<T>, width = NV * vl;
  for (int run = 0; run < runs.n; run++) {
    const int begin = runs.begin[run], end = runs.begin[run + 1];
    const ptrdiff_t i = ps.i[p0 + begin];
    for (int k = 0; k < NV; k++) {
      const int c = c0 + k * vl;
      const V yi = load<T>(y + i * g + c), ai = load<T>(a + i * g + c);
      V sum_i = splat<T>(T(0));
      for (int p = begin; p < end; p++) {
        const ptrdiff_t j = ps.j[p0 + p], at = ptrdiff_t(p) * width + k * vl;
        const V aj = load<T>(a + j * g + c);
        add_to<T>(sums + ptrdiff_t(p) * vl, (ai * load<T>(y + j * g + c) + aj * yi) * load<T>(dw + at));
        if (!gy) continue;
        const V wp = load<T>(w + at);
        sum_i += aj * wp;
        add_to<T>(gy + j * g + c, ai * wp);
      }
      if (gy) add_to<T>(gy + i * g + c, sum_i);
    }
  }
}

// The width of a chunk as a type.
template <int N>
struct Vectors {
  static constexpr int n = N;
};

// Calls `chunk(column, Vectors)` for all chunks of g channels.
template <class T, class Chunk>
PAINN_INLINE void for_chunks(int g, Chunk chunk) {
  constexpr int width = panel_vectors * lanes<T>;
  int c = 0;
  for (; c + width <= g; c += width) chunk(c, Vectors<panel_vectors>{});
  if (c < g) chunk(c, Vectors<1>{});
}

// One chunk's columns of the filter's last product.
template <class T, int NV>
PAINN_INLINE void filter_chunk(int n, const T* rows, int row, const Packed<T>& filter, int c0, T* out) {
  panel_product<T, NV>(n, rows, row, filter.data + ptrdiff_t(c0) * filter.k, filter.k, out,
                       NV * lanes<T>, Start::zero, nullptr);
}

// Where the filters of n pairs from p0 on are kept, channels from c on: chunk after chunk, each
// (n, width) as one product writes it.
template <class T>
PAINN_INLINE T* kept_chunk(T* kept, int p0, int n, ptrdiff_t g, int c) {
  return kept + p0 * g + ptrdiff_t(n) * c;
}

// The filters go to `kept` (pairs, G) unless it is null.
template <class T>
void convolve(const SchNetWeights<T>& w, const Convolution<T>& block, const CutPairs<T>& ps,
              int p_begin, int p_end, const FilterRoom<T>& r, T* kept, const T* y, T* v) {
  for (int p0 = p_begin; p0 < p_end; p0 += block_pairs) {
    const int n = p_end - p0 < block_pairs ? p_end - p0 : block_pairs;
    const Runs runs = runs_of(ps.pairs.i + p0, n);
    hidden_rows(w, block, ps, p0, n, r, false);
    for_chunks<T>(w.g, [&](int c, auto vectors) {
      constexpr int nv = decltype(vectors)::n;
      T* filters = kept ? kept_chunk(kept, p0, n, w.g, c) : r.w;
      filter_chunk<T, nv>(n, r.h, w.filter, block.filter2, c, filters);
      convolve_chunk<T, nv>(ps.pairs, p0, runs, w.g, c, filters, y, v);
    });
  }
}

// Adds to dE/dd of the pairs, and to dE/dy, which needs the filters kept, unless `gy` is null.
template <class T>
void convolve_backward(const SchNetWeights<T>& w, const Convolution<T>& block,
                       const CutPairs<T>& ps, int p_begin, int p_end, const FilterRoom<T>& r,
                       T* kept, const T* y, const T* a, T* gy) {
  for (int p0 = p_begin; p0 < p_end; p0 += block_pairs) {
    const int n = p_end - p0 < block_pairs ? p_end - p0 : block_pairs;
    const Runs runs = runs_of(ps.pairs.i + p0, n);
    hidden_rows(w, block, ps, p0, n, r, true);
    std::memset(r.sums, 0, sizeof(T) * n * lanes<T>);
    for_chunks<T>(w.g, [&](int c, auto vectors) {
      constexpr int nv = decltype(vectors)::n;
      const T* filters = gy ? kept_chunk(kept, p0, n, w.g, c) : nullptr;
      filter_chunk<T, nv>(n, r.dh, w.filter, block.filter2, c, r.dw);
      convolve_back_chunk<T, nv>(ps.pairs, p0, runs, w.g, c, filters, r.dw, r.sums, y, a, gy);
    });
    for (int p = 0; p < n; p++)
      ps.pairs.gd[p0 + p] += sum<T>(load<T>(r.sums + ptrdiff_t(p) * lanes<T>));
  }
}

// Forces and virial from dE/dd.
template <class T>
void radial_forces(const Pairs<T>& ps, const PainnTask& task, int p_begin, int p_end,
                   double* forces, double* virial_of_all) {
  for (int p = p_begin; p < p_end; p++) {
    const ptrdiff_t i = ps.i[p], j = ps.j[p];
    const double* r = ps.r + 3 * ptrdiff_t(p);
    const double along = double(ps.gd[p]) / ps.d[p];
    double* virial = virial_of_all + 9 * ptrdiff_t(task.system[i]);
    for (int a = 0; a < 3; a++) {
      const double g = along * r[a];  // dE/dr_ij
      forces[3 * i + a] += g;
      forces[3 * j + a] -= g;
      for (int c = 0; c < 3; c++) virial[3 * a + c] += g * r[c];
    }
  }
}

}  // namespace
#endif
