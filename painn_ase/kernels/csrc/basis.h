// Geometry of the pairs inside the cutoff and their radial basis, in float64.
#ifndef PAINN_BASIS_H
#define PAINN_BASIS_H
#include "abi.h"
#include "edges.h"

namespace {

constexpr int group = 16;     // pairs whose basis is evaluated side by side
constexpr int no_cutoff = 2;  // a cutoff function for networks that multiply with it later: 1

struct Basis {
  int n_rbf, radial_basis, cutoff_function;
  double cutoff;
  // Gaussians: centres and widths. Bessel: what a model's stored frequencies differ by from exact
  // multiples of pi/cutoff (a model trained in float32 has them rounded), in `centers`.
  const double *centers, *widths;
};

// Cutoff function f and its derivative at distances d; s, c are sine and cosine of pi·d/cutoff.
PAINN_INLINE void cutoff_values(const Basis& b, const double* d, const double* s, const double* c,
                                double* f, double* df) {
  const double pi = 3.14159265358979323846;
  if (b.cutoff_function == 0) {
    for (int l = 0; l < group; l++) {
      f[l] = 0.5 * (c[l] + 1.);
      df[l] = -0.5 * pi / b.cutoff * s[l];
    }
    return;
  }
  if (b.cutoff_function == no_cutoff) {
    for (int l = 0; l < group; l++) {
      f[l] = 1.;
      df[l] = 0.;
    }
    return;
  }
  for (int l = 0; l < group; l++) {
    const double x = d[l] / b.cutoff;
    f[l] = 1. - x * x * x * (10. - x * (15. - 6. * x));
    df[l] = -30. * x * x * (1. - x) * (1. - x) / b.cutoff;
  }
}

// Sine and cosine of pi·d/cutoff.
PAINN_INLINE void half_turn(const Basis& b, const double* d, double* s, double* c) {
  const double w0 = 3.14159265358979323846 / b.cutoff;
  for (int l = 0; l < group; l++) {
    double half_s, half_c;
    sin_cos(0.5 * w0 * d[l], half_s, half_c);
    s[l] = 2. * half_s * half_c;
    c[l] = 1. - 2. * half_s * half_s;
  }
}

// Rows (f·phi_1 … f·phi_B, f, 0 …) and their derivatives for n <= group pairs.
template <class T>
void basis_rows(const Basis& b, int n, const double* distance, int kp, T* phi, T* dphi) {
  const double w0 = 3.14159265358979323846 / b.cutoff;
  double d[group], s[group], c[group], f[group], df[group], inverse[group];
  for (int l = 0; l < group; l++) d[l] = l < n ? distance[l] : 0.5 * b.cutoff;
  half_turn(b, d, s, c);
  for (int l = 0; l < group; l++) inverse[l] = 1. / d[l];
  cutoff_values(b, d, s, c, f, df);
  double s_before[group], s_now[group], c_before[group], c_now[group];
  for (int l = 0; l < group; l++) {
    s_before[l] = 0.;
    s_now[l] = s[l];
    c_before[l] = 1.;
    c_now[l] = c[l];
  }
  for (int k = 0; k < b.n_rbf; k++) {
    double value[group], slope[group];
    if (b.radial_basis == 0) {
      const double off = b.centers[k], frequency = (k + 1) * w0 + off;
      for (int l = 0; l < group; l++) {
        // sin and cos of k·w0·d + x for tiny x, to second order: 1e-13 for x below 1e-4.
        const double x = off * d[l], near_one = 1. - 0.5 * x * x;
        const double sine = s_now[l] * near_one + c_now[l] * x;
        const double cosine = c_now[l] * near_one - s_now[l] * x;
        const double v = sine * inverse[l], dv = (frequency * cosine - v) * inverse[l];
        value[l] = f[l] * v;
        slope[l] = f[l] * dv + df[l] * v;
        const double next_s = 2. * c[l] * s_now[l] - s_before[l];
        const double next_c = 2. * c[l] * c_now[l] - c_before[l];
        s_before[l] = s_now[l];
        s_now[l] = next_s;
        c_before[l] = c_now[l];
        c_now[l] = next_c;
      }
    } else {
      const double coefficient = -0.5 / (b.widths[k] * b.widths[k]);
      for (int l = 0; l < group; l++) {
        // Below 1e-26 nothing is added to any sum, and denormal numbers would cost dearly.
        const double x = d[l] - b.centers[k], power = coefficient * x * x;
        const double v = power < -60. ? 0. : exp_of(power);
        value[l] = f[l] * v;
        slope[l] = v * (df[l] + f[l] * 2. * coefficient * x);
      }
    }
    for (int l = 0; l < n; l++) {
      phi[l * kp + k] = static_cast<T>(value[l]);
      dphi[l * kp + k] = static_cast<T>(slope[l]);
    }
  }
  for (int l = 0; l < n; l++) {
    phi[l * kp + b.n_rbf] = static_cast<T>(f[l]);
    dphi[l * kp + b.n_rbf] = static_cast<T>(df[l]);
    for (int k = b.n_rbf + 1; k < kp; k++) phi[l * kp + k] = dphi[l * kp + k] = T(0);
  }
}

// Keeps the pairs of task rows [begin, end) inside the cutoff, in order, from slot `begin` on.
// Returns the slot after the last.
template <class T>
int close_pairs(const PainnTask& task, int begin, int end, double cutoff, const Pairs<T>& ps) {
  const double limit = cutoff * cutoff;
  int out = begin;
  for (int p = begin; p < end; p++) {
    const int i = task.idx_i[p], j = task.idx_j[p];
    const double *a = task.positions + 3 * ptrdiff_t(i), *b = task.positions + 3 * ptrdiff_t(j),
                 *s = task.shifts + 3 * ptrdiff_t(p);
    const double x = b[0] - a[0] + s[0], y = b[1] - a[1] + s[1], z = b[2] - a[2] + s[2];
    const double square = x * x + y * y + z * z;
    // Written without a branch: whether a pair of the skin is inside is hard to predict.
    ps.i[out] = i;
    ps.j[out] = j;
    ps.source[out] = p;
    double* r = ps.r + 3 * ptrdiff_t(out);
    r[0] = x;
    r[1] = y;
    r[2] = z;
    ps.d[out] = square;
    out += !(square >= limit);  // NaN stays in, so that it reaches the result and is noticed
  }
  for (int p = begin; p < out; p++) ps.d[p] = std::sqrt(ps.d[p]);
  for (int p = begin; p < out; p++) {
    const double inverse = 1. / ps.d[p];
    for (int k = 0; k < 3; k++) ps.u[3 * ptrdiff_t(p) + k] = T(ps.r[3 * ptrdiff_t(p) + k] * inverse);
  }
  return out;
}

}  // namespace
#endif
