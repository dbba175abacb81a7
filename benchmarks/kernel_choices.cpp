// Rates behind two choices of the fused kernel, one line of JSON each; see kernel_choices.py.
//   product: its own matrix product for the shapes of the network
//   filters: filters from the radial basis by a product, or from a table by cubic Hermite
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "../painn_ase/kernels/csrc/edges.h"

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Work>
double best_seconds(Work work, int repeats) {
  double best = 1e9;
  for (int r = 0; r < repeats; r++) {
    const double start = now();
    work();
    const double s = now() - start;
    if (s < best) best = s;
  }
  return best;
}

void measure_product(int m, int k, int n) {
  // Many weight matrices in turn, as in a step: small systems stream them from the shared cache.
  const int copies = 16;
  std::vector<float> a(size_t(m) * k, 1.f), b(size_t(n) * k * copies, 0.5f), c(size_t(m) * n);
  const double s = best_seconds(
      [&] {
        for (int copy = 0; copy < copies; copy++) {
          Packed<float> packed;
          packed.data = b.data() + size_t(copy) * n * k;
          packed.k = k;
          packed.n_columns = n;
          product<float>(m, a.data(), k, packed, c.data(), n);
        }
      },
      m < 100 ? 200 : 20);
  std::printf("{\"product\": [%d, %d, %d], \"gflops\": %.1f}\n", m, k, n, 2e-9 * m * k * n * copies / s);
}

// Filters and slopes of 3F = 384 channels for many pairs, nanoseconds per pair.
void measure_filters() {
  constexpr int f3 = 384, k = 21, kp = 32, n_pairs = 4096, block = block_pairs;
  std::vector<float> phi(n_pairs * kp, 0.1f), weights(f3 * k, 0.2f), w(block * f3), dw(block * f3);
  Packed<float> filter;
  filter.data = weights.data();
  filter.k = k;
  filter.n_columns = f3;
  for (int slopes = 0; slopes < 2; slopes++) {
    const double s = best_seconds(
        [&] {
          for (int p = 0; p < n_pairs; p += block) {
            product<float>(block, phi.data() + p * kp, kp, filter, w.data(), f3);
            if (slopes) product<float>(block, phi.data() + p * kp, kp, filter, dw.data(), f3);
          }
        },
        20);
    std::printf("{\"filters\": \"product\", \"slopes\": %d, \"ns_per_pair\": %.1f}\n", slopes,
                1e9 * s / n_pairs);
  }
  std::mt19937 generator(0);
  for (int knots : {256, 512, 1024}) {
    std::vector<float> table(size_t(knots + 1) * 2 * f3, 0.3f);
    std::vector<int> place(n_pairs);
    for (int& x : place) x = int(generator() % unsigned(knots));
    for (int slopes = 0; slopes < 2; slopes++) {
      const double s = best_seconds(
          [&] {
            for (int p = 0; p < n_pairs; p++) {
              const float t = 0.3f, *row = table.data() + size_t(place[p]) * 2 * f3;
              const float h00 = (1 + 2 * t) * (1 - t) * (1 - t), h10 = t * (1 - t) * (1 - t);
              const float h01 = t * t * (3 - 2 * t), h11 = t * t * (t - 1);
              const float d00 = 6 * t * (t - 1), d10 = (1 - t) * (1 - 3 * t), d11 = t * (3 * t - 2);
              float *out = w.data() + (p % block) * f3, *dout = dw.data() + (p % block) * f3;
              for (int c = 0; c < f3; c += lanes<float>) {
                const auto v0 = load<float>(row + c), m0 = load<float>(row + f3 + c);
                const auto v1 = load<float>(row + 2 * f3 + c), m1 = load<float>(row + 3 * f3 + c);
                store<float>(out + c, splat(h00) * v0 + splat(h10) * m0 + splat(h01) * v1 +
                                          splat(h11) * m1);
                if (slopes)
                  store<float>(dout + c,
                               splat(d00) * (v0 - v1) + splat(d10) * m0 + splat(d11) * m1);
              }
            }
          },
          20);
      std::printf("{\"filters\": \"table of %d\", \"slopes\": %d, \"ns_per_pair\": %.1f}\n", knots,
                  slopes, 1e9 * s / n_pairs);
    }
  }
}

}  // namespace

int main() {
  for (int m : {9, 27, 192, 576})
    for (int n : {128, 384}) measure_product(m, 128, n);
  measure_filters();
  return 0;
}
