// Gated equivariant stacks: what the dipole and polarizability heads make of the final features.
//
// The kernel gives each atom's scalars and vectors, and their rates; the few sums over atoms that
// make a dipole or a polarizability of them are left to the caller.
#ifndef PAINN_HEADS_H
#define PAINN_HEADS_H
#include "linear.h"

namespace {

// V, W = linear(v); (s', g) = MLP([s; |V|]); v' = g W. Widths padded; n_* are the true ones.
template <class T>
struct GatedBlock {
  int s_in, v_in, s_out, v_out, hidden;
  int n_scalars, n_vectors;
  Packed<T> vectors, context0, context0_norm, context2;
  T *bias0, *bias2;
};

template <class T>
struct GatedStack {
  GatedBlock<T> blocks[2];
  T epsilon;
};

struct GatedSizes {
  int s_in, v_in, s_out, v_out, hidden;
};

// Tensors: vector_mix w (2 v_out, v_in); context.0 w (hidden, s_in + v_out), b; context.2 w
// (s_out + v_out, hidden), b.
template <class T>
bool build_gated(GatedBlock<T>& b, const PainnServices& s, const double* const* t, GatedSizes n) {
  b.n_scalars = n.s_out;
  b.n_vectors = n.v_out;
  b.s_in = padded<T>(n.s_in);
  b.v_in = padded<T>(n.v_in);
  b.s_out = padded<T>(n.s_out);
  b.v_out = padded<T>(n.v_out);
  b.hidden = padded<T>(n.hidden);
  const Axis scalars{n.s_in, b.s_in, 1}, in{n.v_in, b.v_in, 1}, hidden{n.hidden, b.hidden, 1};
  const Axis norms{n.v_out, b.v_out, 1}, both{n.v_out, b.v_out, 2};
  b.vectors = pack_forward<T>(s, t[0], both, in, n.v_in);
  b.context0 = pack_forward<T>(s, t[1], hidden, scalars, n.s_in + n.v_out);
  b.context0_norm = pack_forward<T>(s, t[1] + n.s_in, hidden, norms, n.s_in + n.v_out);
  b.bias0 = pad_vector<T>(s, t[2], hidden);
  const int s_out = b.s_out, n_s = n.s_out, n_v = n.v_out, n_h = n.hidden;
  // Scalars and gates have sections of their own, of different widths.
  auto row = [=](int c) {
    if (c < s_out) return c < n_s ? c : -1;
    return c - s_out < n_v ? n_s + c - s_out : -1;
  };
  const double* w = t[3];
  b.context2 = pack<T>(s, b.hidden, b.s_out + b.v_out, panel_vectors, [=](int l, int c) {
    return row(c) < 0 || l >= n_h ? 0. : w[ptrdiff_t(row(c)) * n_h + l];
  });
  b.bias2 = static_cast<T*>(s.allocate(sizeof(T) * (b.s_out + b.v_out)));
  for (int c = 0; b.bias2 && c < b.s_out + b.v_out; c++)
    b.bias2[c] = row(c) < 0 ? T(0) : T(t[4][row(c)]);
  return b.vectors.data && b.context0.data && b.context0_norm.data && b.context2.data && b.bias0 &&
         b.bias2;
}

template <class T>
void free_gated(GatedBlock<T>& b, const PainnServices& s) {
  s.release(b.vectors.data);
  s.release(b.context0.data);
  s.release(b.context0_norm.data);
  s.release(b.context2.data);
  s.release(b.bias0);
  s.release(b.bias2);
}

// Scalars and vectors of some atoms, and their rates (null where not wanted).
template <class T>
struct AtomFeatures {
  const T *s, *v, *ts, *tv;  // (n, s_in), (n, 3, v_in)
};

// Workspace for block_atoms atoms and the widest block.
template <class T>
struct GatedScratch {
  T *vw, *norm, *h, *slope, *y, *out;      // values
  T *tvw, *tnorm, *th, *ty, *tout;         // rates
  static constexpr int rows_of_width = 6 + 1 + 1 + 1 + 2 + 4;
};

template <class T>
AtomFeatures<T> gated_block(const GatedBlock<T>& b, T epsilon, int n, const AtomFeatures<T>& in,
                            const GatedScratch<T>& w, T* s_out, T* v_out, T* ts_out, T* tv_out) {
  using V = typename Simd<T>::V;
  const ptrdiff_t vo = b.v_out, so = b.s_out, wide = so + vo;
  const bool rates = in.ts != nullptr;
  product<T>(3 * n, in.v, b.v_in, b.vectors, w.vw, 2 * vo);
  if (rates) product<T>(3 * n, in.tv, b.v_in, b.vectors, w.tvw, 2 * vo);
  for (int i = 0; i < n; i++) {
    const T *v = w.vw + i * 6 * vo, *tv = w.tvw + i * 6 * vo;
    for (ptrdiff_t c = 0; c < vo; c++) {
      T square = epsilon, change = 0;
      for (int a = 0; a < 3; a++) {
        square += v[2 * a * vo + c] * v[2 * a * vo + c];
        if (rates) change += v[2 * a * vo + c] * tv[2 * a * vo + c];
      }
      const T root = std::sqrt(square);
      w.norm[i * vo + c] = root;
      if (rates) w.tnorm[i * vo + c] = root > T(0) ? change / root : T(0);
    }
  }
  product<T>(n, in.s, b.s_in, b.context0, w.h, b.hidden, Start::bias, b.bias0);
  product<T>(n, w.norm, vo, b.context0_norm, w.h, b.hidden, Start::accumulate);
  silu_with_slope(w.h, w.slope, n * ptrdiff_t(b.hidden));
  product<T>(n, w.h, b.hidden, b.context2, w.y, wide, Start::bias, b.bias2);
  if (rates) {
    product<T>(n, in.ts, b.s_in, b.context0, w.th, b.hidden);
    product<T>(n, w.tnorm, vo, b.context0_norm, w.th, b.hidden, Start::accumulate);
    for (ptrdiff_t c = 0; c < n * ptrdiff_t(b.hidden); c++) w.th[c] *= w.slope[c];
    product<T>(n, w.th, b.hidden, b.context2, w.ty, wide);
  }
  for (int i = 0; i < n; i++) {
    const T *y = w.y + i * wide, *ty = w.ty + i * wide;
    std::memcpy(s_out + i * so, y, sizeof(T) * so);
    if (rates) std::memcpy(ts_out + i * so, ty, sizeof(T) * so);
    for (int a = 0; a < 3; a++) {
      const T *right = w.vw + (i * 6 + 2 * a + 1) * vo, *tright = w.tvw + (i * 6 + 2 * a + 1) * vo;
      for (ptrdiff_t c = 0; c < vo; c += lanes<T>) {
        const V gate = load<T>(y + so + c);
        store<T>(v_out + (3 * i + a) * vo + c, gate * load<T>(right + c));
        if (rates)
          store<T>(tv_out + (3 * i + a) * vo + c,
                   load<T>(ty + so + c) * load<T>(right + c) + gate * load<T>(tright + c));
      }
    }
  }
  return AtomFeatures<T>{s_out, v_out, ts_out, tv_out};
}

// Both blocks, SiLU on the scalars between them; results as float64 rows of the true widths.
template <class T>
void gated_stack(const GatedStack<T>& stack, int n, const AtomFeatures<T>& in,
                 const GatedScratch<T>& w, const GatedScratch<T>& second, const PainnStackOutput& out,
                 int a0) {
  const GatedBlock<T>&first = stack.blocks[0], &last = stack.blocks[1];
  const bool rates = in.ts != nullptr;
  T *s1 = w.out, *v1 = w.out + block_atoms * ptrdiff_t(first.s_out);
  T *ts1 = w.tout, *tv1 = w.tout + block_atoms * ptrdiff_t(first.s_out);
  AtomFeatures<T> middle = gated_block(first, stack.epsilon, n, in, w, s1, v1, ts1, tv1);
  silu_with_slope(s1, w.slope, n * ptrdiff_t(first.s_out));
  if (rates)
    for (ptrdiff_t c = 0; c < n * ptrdiff_t(first.s_out); c++) ts1[c] *= w.slope[c];
  else
    middle.ts = middle.tv = nullptr;
  T *s2 = second.out, *v2 = second.out + block_atoms * ptrdiff_t(last.s_out);
  T *ts2 = second.tout, *tv2 = second.tout + block_atoms * ptrdiff_t(last.s_out);
  gated_block(last, stack.epsilon, n, middle, w, s2, v2, ts2, tv2);
  for (ptrdiff_t i = 0; i < n; i++) {
    for (int c = 0; c < last.n_scalars; c++) {
      out.scalars[(a0 + i) * last.n_scalars + c] = double(s2[i * last.s_out + c]);
      if (rates) out.scalar_rates[(a0 + i) * last.n_scalars + c] = double(ts2[i * last.s_out + c]);
    }
    for (int a = 0; a < 3; a++)
      for (int c = 0; c < last.n_vectors; c++) {
        const ptrdiff_t to = (3 * (a0 + i) + a) * last.n_vectors + c;
        out.vectors[to] = double(v2[(3 * i + a) * last.v_out + c]);
        if (rates) out.vector_rates[to] = double(tv2[(3 * i + a) * last.v_out + c]);
      }
  }
}

}  // namespace
#endif
