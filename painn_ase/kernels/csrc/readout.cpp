// The response heads' sums over atoms: dipole and polarizability of each structure, and their rates
// of change, from what the gated stacks say of each atom. In double precision whatever the network's.
//
// The equations are those of painn_ase/heads; "lever" forms count positions from the centre of the
// weights, "local" ones have no origin. Rates are derivatives along the velocities, written out.
#include <cstring>

#include "abi.h"

namespace {

// The centre of a structure's weights and how it moves; zero where there are no weights.
struct Center {
  double place[3], motion[3], weight, excess, excess_rate;
  int64_t n_atoms;
};

double product_sum(const double* a, const double* b, int n) {
  double sum = 0.;
  for (int k = 0; k < n; k++) sum += a[k] * b[k];
  return sum;
}

struct Readout {
  const PainnReadout& r;
  Center* centers;

  int system(ptrdiff_t i) const { return r.system ? r.system[i] : 0; }
  // Component a of the atom's k-th vector stands at [a * n_vectors + k].
  const double* vectors(ptrdiff_t i) const { return r.output.vectors + 3 * i * r.n_vectors; }
  const double* vector_rates(ptrdiff_t i) const {
    return r.output.vector_rates + 3 * i * r.n_vectors;
  }
  const double* scalars(ptrdiff_t i) const { return r.output.scalars + i * r.n_scalars; }
  const double* scalar_rates(ptrdiff_t i) const { return r.output.scalar_rates + i * r.n_scalars; }
  double lever(ptrdiff_t i, int a) const {
    return r.positions[3 * i + a] - centers[system(i)].place[a];
  }
  double motion(ptrdiff_t i, int a) const {
    return r.velocities[3 * i + a] - centers[system(i)].motion[a];
  }

  void find_centers() {
    std::memset(centers, 0, sizeof(Center) * r.n_systems);
    for (ptrdiff_t i = 0; i < r.n_atoms; i++) {
      Center& c = centers[system(i)];
      c.n_atoms++;
      if (!r.weights) continue;
      c.weight += r.weights[i];
      for (int a = 0; a < 3; a++) {
        c.place[a] += r.weights[i] * r.positions[3 * i + a];
        if (r.velocities) c.motion[a] += r.weights[i] * r.velocities[3 * i + a];
      }
    }
    for (int s = 0; s < r.n_systems; s++)
      for (int a = 0; r.weights && a < 3; a++) {
        centers[s].place[a] /= centers[s].weight;
        centers[s].motion[a] /= centers[s].weight;
      }
  }

  // By how much each atom's charge is too large for the structure to have its total.
  void find_excess() {
    for (ptrdiff_t i = 0; i < r.n_atoms; i++) {
      Center& c = centers[system(i)];
      c.excess += r.scale * scalars(i)[0];
      if (r.velocities) c.excess_rate += r.scale * scalar_rates(i)[0];
    }
    for (int s = 0; s < r.n_systems; s++) {
      centers[s].excess = (centers[s].excess - r.charge[s]) / double(centers[s].n_atoms);
      centers[s].excess_rate /= double(centers[s].n_atoms);
    }
  }

  void dipole_with_charges() {
    find_excess();
    for (ptrdiff_t i = 0; i < r.n_atoms; i++) {
      const Center& c = centers[system(i)];
      const double q = r.charges[i] = r.scale * scalars(i)[0] - c.excess;
      for (int a = 0; a < 3; a++)
        r.value[3 * system(i) + a] += r.scale * vectors(i)[a * r.n_vectors] + q * lever(i, a);
      if (!r.velocities) continue;
      const double current = r.scale * scalar_rates(i)[0] - c.excess_rate;
      for (int a = 0; a < 3; a++)
        r.rate[3 * system(i) + a] += r.scale * vector_rates(i)[a * r.n_vectors] +
                                     current * lever(i, a) + q * motion(i, a);
    }
  }

  void local_dipole() {
    const int n = r.n_vectors;
    for (ptrdiff_t i = 0; i < r.n_atoms; i++)
      for (int a = 0; a < 3; a++) {
        r.value[3 * system(i) + a] += r.scale * product_sum(scalars(i), vectors(i) + a * n, n);
        if (r.velocities)
          r.rate[3 * system(i) + a] +=
              r.scale * (product_sum(scalar_rates(i), vectors(i) + a * n, n) +
                         product_sum(scalars(i), vector_rates(i) + a * n, n));
      }
  }

  // The last scalar is the isotropic part's.
  void add_spheres() {
    const int last = r.n_scalars - 1;
    for (ptrdiff_t i = 0; i < r.n_atoms; i++)
      for (int a = 0; a < 3; a++) {
        r.value[9 * system(i) + 4 * a] += r.scale * scalars(i)[last] + r.isotropic[i];
        if (r.velocities) r.rate[9 * system(i) + 4 * a] += r.scale * scalar_rates(i)[last];
      }
  }

  void polarizability_with_positions() {
    for (ptrdiff_t i = 0; i < r.n_atoms; i++)
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
          const double na = r.scale * vectors(i)[a * r.n_vectors];
          const double nb = r.scale * vectors(i)[b * r.n_vectors];
          r.value[9 * system(i) + 3 * a + b] += na * lever(i, b) + lever(i, a) * nb;
          if (!r.velocities) continue;
          const double ta = r.scale * vector_rates(i)[a * r.n_vectors];
          const double tb = r.scale * vector_rates(i)[b * r.n_vectors];
          r.rate[9 * system(i) + 3 * a + b] += ta * lever(i, b) + lever(i, a) * tb +
                                               na * motion(i, b) + motion(i, a) * nb;
        }
  }

  void local_polarizability() {
    const int n = r.n_vectors;
    for (ptrdiff_t i = 0; i < r.n_atoms; i++) {
      const double *s = scalars(i), *v = vectors(i);
      double *value = r.value + 9 * system(i), *rate = r.rate + 9 * system(i);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
          for (int k = 0; k < n; k++) {
            const double va = v[a * n + k], vb = v[b * n + k];
            value[3 * a + b] += r.scale * s[k] * va * vb;
            if (!r.velocities) continue;
            const double *ts = scalar_rates(i), *tv = vector_rates(i);
            rate[3 * a + b] +=
                r.scale * (ts[k] * va * vb + s[k] * (tv[a * n + k] * vb + va * tv[b * n + k]));
          }
    }
  }

  void run() {
    const ptrdiff_t size = ptrdiff_t(r.n_systems) * (r.quantity == PAINN_DIPOLE ? 3 : 9);
    std::memset(r.value, 0, sizeof(double) * size);
    if (r.velocities) std::memset(r.rate, 0, sizeof(double) * size);
    find_centers();
    if (r.quantity == PAINN_DIPOLE) return r.local ? local_dipole() : dipole_with_charges();
    add_spheres();
    r.local ? local_polarizability() : polarizability_with_positions();
  }
};

}  // namespace

// Doubles of room that painn_readout needs for `n_systems` structures.
PAINN_EXPORT int64_t painn_readout_room(int32_t n_systems) {
  return static_cast<int64_t>((sizeof(Center) * n_systems + sizeof(double) - 1) / sizeof(double));
}

PAINN_EXPORT void painn_readout(const PainnReadout* task) {
  Readout{*task, reinterpret_cast<Center*>(task->room)}.run();
}
