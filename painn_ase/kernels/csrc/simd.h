// Vectors of one instruction set and the few operations the kernel needs.
//
// GCC and Clang provide vectors as a language extension; elsewhere, and for testing where
// PAINN_PLAIN_VECTORS is defined, a struct with loops stands in.
// No standard-library template may be instantiated in files compiled for one instruction set: the
// linker keeps one copy of an inline function, and it could keep the one an older CPU cannot run.
#ifndef PAINN_SIMD_H
#define PAINN_SIMD_H
#include <stddef.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define PAINN_VECTOR_BYTES 64
#define PAINN_TILE_ROWS 12
#elif defined(__AVX2__)
#define PAINN_VECTOR_BYTES 32
#define PAINN_TILE_ROWS 6
#else
#define PAINN_VECTOR_BYTES 16
#define PAINN_TILE_ROWS 6
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PAINN_INLINE inline __attribute__((always_inline))
#define PAINN_RESTRICT __restrict__
#if defined(__clang__)
#define PAINN_UNROLL _Pragma("clang loop unroll(full)")
#define PAINN_SIMD_LOOP _Pragma("clang loop vectorize(enable)")
#else
#define PAINN_UNROLL _Pragma("GCC unroll 16")
#define PAINN_SIMD_LOOP _Pragma("GCC ivdep")
#endif
#else
#define PAINN_INLINE inline
#define PAINN_RESTRICT __restrict
#define PAINN_UNROLL
#define PAINN_SIMD_LOOP
#endif

namespace {

#if (defined(__GNUC__) || defined(__clang__)) && !defined(PAINN_PLAIN_VECTORS)
template <class T>
struct Simd;
template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(PAINN_VECTOR_BYTES)));
};
template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(PAINN_VECTOR_BYTES)));
};
template <class T>
PAINN_INLINE typename Simd<T>::V splat(T s) {
  return typename Simd<T>::V{} + s;
}
#else
template <class T>
struct Lanes {
  static constexpr int n = PAINN_VECTOR_BYTES / sizeof(T);
  T a[n];
  T& operator[](int l) { return a[l]; }
  T operator[](int l) const { return a[l]; }
  Lanes operator+(const Lanes& o) const { Lanes r; for (int l = 0; l < n; l++) r.a[l] = a[l] + o.a[l]; return r; }
  Lanes operator-(const Lanes& o) const { Lanes r; for (int l = 0; l < n; l++) r.a[l] = a[l] - o.a[l]; return r; }
  Lanes operator*(const Lanes& o) const { Lanes r; for (int l = 0; l < n; l++) r.a[l] = a[l] * o.a[l]; return r; }
  Lanes operator-() const { Lanes r; for (int l = 0; l < n; l++) r.a[l] = -a[l]; return r; }
  Lanes& operator+=(const Lanes& o) { for (int l = 0; l < n; l++) a[l] += o.a[l]; return *this; }
  Lanes& operator-=(const Lanes& o) { for (int l = 0; l < n; l++) a[l] -= o.a[l]; return *this; }
};
template <class T>
struct Simd {
  typedef Lanes<T> V;
};
template <class T>
PAINN_INLINE typename Simd<T>::V splat(T s) {
  typename Simd<T>::V r;
  for (int l = 0; l < Simd<T>::V::n; l++) r.a[l] = s;
  return r;
}
#endif

template <class T>
constexpr int lanes = PAINN_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T>
PAINN_INLINE typename Simd<T>::V load(const T* p) {
  typename Simd<T>::V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
PAINN_INLINE void store(T* p, typename Simd<T>::V v) {
  std::memcpy(p, &v, sizeof v);
}
template <class T>
PAINN_INLINE void add_to(T* p, typename Simd<T>::V v) {
  store<T>(p, load<T>(p) + v);
}
template <class T>
PAINN_INLINE T sum(typename Simd<T>::V v) {
  T a[lanes<T>];
  std::memcpy(a, &v, sizeof v);
  for (int n = lanes<T> / 2; n > 0; n /= 2)
    for (int l = 0; l < n; l++) a[l] += a[l + n];
  return a[0];
}

// exp by reduction to |r| <= ln2/2 and a Taylor polynomial (degree 7 and 13: below half an ulp of
// each type), without branches so that loops over it become vector code. The magic number rounds
// to an integer and leaves it in the low bits; it needs IEEE order of operations, hence no
// -ffast-math for these files.
PAINN_INLINE float exp_of(float x) {
  x = x < -87.f ? -87.f : (x > 88.f ? 88.f : x);
  const float shifted = x * 1.44269504f + 12582912.f, n = shifted - 12582912.f;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.f / 5040;
  p = p * r + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  int32_t bits, scale;
  std::memcpy(&bits, &shifted, 4);
  std::memcpy(&scale, &p, 4);
  scale += static_cast<int32_t>(static_cast<uint32_t>(bits) << 23);
  std::memcpy(&p, &scale, 4);
  return p;
}
PAINN_INLINE double exp_of(double x) {
  x = x < -700. ? -700. : (x > 700. ? 700. : x);
  const double shifted = x * 1.4426950408889634 + 6755399441055744., n = shifted - 6755399441055744.;
  const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double p = 1. / 6227020800.;
  p = p * r + 1. / 479001600.;
  p = p * r + 1. / 39916800.;
  p = p * r + 1. / 3628800.;
  p = p * r + 1. / 362880.;
  p = p * r + 1. / 40320.;
  p = p * r + 1. / 5040.;
  p = p * r + 1. / 720.;
  p = p * r + 1. / 120.;
  p = p * r + 1. / 24.;
  p = p * r + 1. / 6.;
  p = p * r + 0.5;
  p = p * r + 1.;
  p = p * r + 1.;
  int64_t bits, scale;
  std::memcpy(&bits, &shifted, 8);
  std::memcpy(&scale, &p, 8);
  scale += static_cast<int64_t>(static_cast<uint64_t>(bits) << 52);
  std::memcpy(&p, &scale, 8);
  return p;
}

// SiLU x·σ(x) in place, and its derivative.
template <class T>
PAINN_INLINE void silu_with_slope(T* PAINN_RESTRICT h, T* PAINN_RESTRICT slope, ptrdiff_t n) {
  PAINN_SIMD_LOOP
  for (ptrdiff_t i = 0; i < n; i++) {
    const T x = h[i], s = T(1) / (T(1) + exp_of(-x));
    h[i] = x * s;
    slope[i] = s * (T(1) + x * (T(1) - s));
  }
}

// sine and cosine of t in [0, pi/2] by their Taylor series, to float64 rounding.
PAINN_INLINE void sin_cos(double t, double& s, double& c) {
  const double z = t * t;
  double a = 1. / 51090942171709440000., b = 1. / 1124000727777607680000.;
  a = a * -z + 1. / 121645100408832000.;
  a = a * -z + 1. / 355687428096000.;
  a = a * -z + 1. / 1307674368000.;
  a = a * -z + 1. / 6227020800.;
  a = a * -z + 1. / 39916800.;
  a = a * -z + 1. / 362880.;
  a = a * -z + 1. / 5040.;
  a = a * -z + 1. / 120.;
  a = a * -z + 1. / 6.;
  a = a * -z + 1.;
  b = b * -z + 1. / 2432902008176640000.;
  b = b * -z + 1. / 6402373705728000.;
  b = b * -z + 1. / 20922789888000.;
  b = b * -z + 1. / 87178291200.;
  b = b * -z + 1. / 479001600.;
  b = b * -z + 1. / 3628800.;
  b = b * -z + 1. / 40320.;
  b = b * -z + 1. / 720.;
  b = b * -z + 1. / 24.;
  b = b * -z + 1. / 2.;
  b = b * -z + 1.;
  s = a * t;
  c = b;
}

}  // namespace
#endif
