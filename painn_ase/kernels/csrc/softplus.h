// SchNet's activation, the shifted softplus, and its derivative.
#ifndef PAINN_SOFTPLUS_H
#define PAINN_SOFTPLUS_H
#include "simd.h"

namespace {

// ln(1 + u)/2s with s = u/(2 + u), of z = s² in [0, 1/9]: the series of artanh to rounding.
PAINN_INLINE float artanh_series(float z) {
  float p = 1.f / 13;
  p = p * z + 1.f / 11;
  p = p * z + 1.f / 9;
  p = p * z + 1.f / 7;
  p = p * z + 1.f / 5;
  p = p * z + 1.f / 3;
  return p * z + 1.f;
}
PAINN_INLINE double artanh_series(double z) {
  double p = 1. / 31;
  p = p * z + 1. / 29;
  p = p * z + 1. / 27;
  p = p * z + 1. / 25;
  p = p * z + 1. / 23;
  p = p * z + 1. / 21;
  p = p * z + 1. / 19;
  p = p * z + 1. / 17;
  p = p * z + 1. / 15;
  p = p * z + 1. / 13;
  p = p * z + 1. / 11;
  p = p * z + 1. / 9;
  p = p * z + 1. / 7;
  p = p * z + 1. / 5;
  p = p * z + 1. / 3;
  return p * z + 1.;
}

// ln(eˣ + 1) − ln 2 in place, and its derivative σ(x): max(x, 0) + ln(1 + u) with u = exp(−|x|).
template <class T>
PAINN_INLINE void softplus_with_slope(T* PAINN_RESTRICT h, T* PAINN_RESTRICT slope, ptrdiff_t n) {
  PAINN_SIMD_LOOP
  for (ptrdiff_t i = 0; i < n; i++) {
    const T x = h[i], u = exp_of(x < T(0) ? x : -x);
    const T one = T(1) + u, two = T(2) + u, inverse = T(1) / (one * two);
    const T s = u * one * inverse, upper = two * inverse;  // u/(2 + u) and σ(|x|)
    h[i] = (x < T(0) ? T(0) : x) + (T(2) * s * artanh_series(s * s) - T(0.693147180559945309417));
    slope[i] = x < T(0) ? u * upper : upper;
  }
}

}  // namespace
#endif
