// Matrix products C = A·B (+ bias, + C) with B packed once in column panels.
//
// Small row counts are the rule here (one molecule is 9 rows), where a general BLAS spends its time
// packing. A tile of up to PAINN_TILE_ROWS rows by two vectors stays in registers.
#ifndef PAINN_GEMM_H
#define PAINN_GEMM_H
#include "simd.h"

namespace {

constexpr int panel_vectors = 2;

// B (rows k, columns n_columns, a multiple of the lanes), panel after panel, each k × width.
template <class T>
struct Packed {
  T* data = nullptr;
  int k = 0, n_columns = 0;
};

enum class Start { zero, bias, accumulate };

template <class T, int MR, int NV>
PAINN_INLINE void tile(const T* PAINN_RESTRICT a, ptrdiff_t lda, const T* PAINN_RESTRICT b, int k,
                       T* PAINN_RESTRICT c, ptrdiff_t ldc, Start start, const T* bias) {
  using V = typename Simd<T>::V;
  constexpr int w = lanes<T>;
  V acc[MR][NV];
  PAINN_UNROLL
  for (int m = 0; m < MR; m++) {
    PAINN_UNROLL
    for (int v = 0; v < NV; v++) acc[m][v] = splat<T>(T(0));
  }
  if (start == Start::bias) {
    PAINN_UNROLL
    for (int m = 0; m < MR; m++) {
      PAINN_UNROLL
      for (int v = 0; v < NV; v++) acc[m][v] = load<T>(bias + v * w);
    }
  } else if (start == Start::accumulate) {
    PAINN_UNROLL
    for (int m = 0; m < MR; m++) {
      PAINN_UNROLL
      for (int v = 0; v < NV; v++) acc[m][v] = load<T>(c + m * ldc + v * w);
    }
  }
  for (int l = 0; l < k; l++) {
    V bv[NV];
    PAINN_UNROLL
    for (int v = 0; v < NV; v++) bv[v] = load<T>(b + (ptrdiff_t(l) * NV + v) * w);
    PAINN_UNROLL
    for (int m = 0; m < MR; m++) {
      const V am = splat<T>(a[m * lda + l]);
      PAINN_UNROLL
      for (int v = 0; v < NV; v++) acc[m][v] += am * bv[v];
    }
  }
  PAINN_UNROLL
  for (int m = 0; m < MR; m++) {
    PAINN_UNROLL
    for (int v = 0; v < NV; v++) store<T>(c + m * ldc + v * w, acc[m][v]);
  }
}

template <class T, int NV>
void tile_rows(int rows, const T* a, ptrdiff_t lda, const T* b, int k, T* c, ptrdiff_t ldc,
               Start start, const T* bias) {
  switch (rows) {
#define PAINN_CASE(n) \
  case n: tile<T, n, NV>(a, lda, b, k, c, ldc, start, bias); break;
    PAINN_CASE(1) PAINN_CASE(2) PAINN_CASE(3) PAINN_CASE(4) PAINN_CASE(5) PAINN_CASE(6)
#if PAINN_TILE_ROWS > 6
    PAINN_CASE(7) PAINN_CASE(8) PAINN_CASE(9) PAINN_CASE(10) PAINN_CASE(11) PAINN_CASE(12)
#endif
#undef PAINN_CASE
    default: break;
  }
}

// One panel against all rows; rows are split evenly so that no tile is left nearly empty.
template <class T, int NV>
PAINN_INLINE void panel_product(int m, const T* a, ptrdiff_t lda, const T* b, int k, T* c,
                                ptrdiff_t ldc, Start start, const T* bias) {
  const int n_tiles = (m + PAINN_TILE_ROWS - 1) / PAINN_TILE_ROWS;
  for (int t = 0, row = 0; t < n_tiles; t++) {
    const int next = static_cast<int>(ptrdiff_t(m) * (t + 1) / n_tiles);
    tile_rows<T, NV>(next - row, a + row * lda, lda, b, k, c + row * ldc, ldc, start, bias);
    row = next;
  }
}

template <class T>
void product(int m, const T* a, ptrdiff_t lda, const Packed<T>& b, T* c, ptrdiff_t ldc,
             Start start = Start::zero, const T* bias = nullptr) {
  constexpr int width = panel_vectors * lanes<T>;
  int column = 0;
  for (; column + width <= b.n_columns; column += width)
    panel_product<T, panel_vectors>(m, a, lda, b.data + ptrdiff_t(column) * b.k, b.k, c + column,
                                    ldc, start, bias + (bias ? column : 0));
  if (column < b.n_columns)
    panel_product<T, 1>(m, a, lda, b.data + ptrdiff_t(column) * b.k, b.k, c + column, ldc, start,
                        bias + (bias ? column : 0));
}

}  // namespace
#endif
