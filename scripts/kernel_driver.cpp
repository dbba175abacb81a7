// Drives the fused kernel without Python, for the sanitizers: random models of several shapes,
// random structures, every instruction set this CPU has, one to three threads, batches, responses.
// Checks forces against finite differences of the energy, so that it also tests itself.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "../painn_ase/kernels/csrc/abi.h"

extern "C" {
int painn_supports(int);
void* painn_create(const PainnModel*, int);
void painn_destroy(void*);
int painn_compute(void*, const PainnTask*, int);
int64_t painn_readout_room(int32_t);
void painn_readout(const PainnReadout*);
}

namespace {

std::mt19937 generator(1);
double uniform(double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(generator);
}

struct Weights {
  std::vector<std::vector<double>> arrays;
  std::vector<const double*> pointers() const {
    std::vector<const double*> p;
    for (const auto& a : arrays) p.push_back(a.data());
    return p;
  }
  void add(int out, int in) {
    std::vector<double> w(size_t(out) * in);
    const double bound = std::sqrt(6. / (out + in));
    for (double& x : w) x = uniform(-bound, bound);
    arrays.push_back(w);
  }
  void layer(int out, int in) {
    add(out, in);
    add(out, 1);
  }
};

struct Shape {
  int f, blocks, rbf, basis, cutoff;
  std::vector<int32_t> hidden;
  int filters = 0;  // of SchNet; 0 for PaiNN
};

struct Model {
  Weights w, stack;
  std::vector<const double*> pointers, stack_pointers;
  std::vector<double> centers, widths, reference{-1., -2., -3.};
  PainnStack record_of_stack{};
  PainnModel record{};
  Shape shape;

  Model(const Shape& s, bool single) : shape(s) {
    const int f = s.f, elements = 3, h = 5;
    w.add(elements, f);
    for (int k = 0; k < s.blocks && !s.filters; k++) w.layer(3 * f, s.rbf);
    for (int k = 0; k < s.blocks; k++) {
      if (s.filters) {
        w.add(s.filters, f);
        w.layer(s.filters, s.rbf);
        w.layer(s.filters, s.filters);
        w.layer(f, s.filters);
        w.layer(f, f);
        continue;
      }
      w.layer(f, f);
      w.layer(3 * f, f);
      w.add(2 * f, f);
      w.layer(f, 2 * f);
      w.layer(3 * f, f);
    }
    int in = f;
    for (int n : s.hidden) {
      w.layer(n, in);
      in = n;
    }
    w.layer(1, in);
    stack.add(2 * h, f);
    stack.layer(f, f + h);
    stack.layer(2 * h, f);
    stack.add(2 * 2, h);
    stack.layer(h, h + 2);
    stack.layer(3 + 2, h);
    for (int k = 0; k < s.rbf; k++) {
      centers.push_back(s.basis ? 3. * k / s.rbf : 0.);
      widths.push_back(0.5);
    }
    pointers = w.pointers();
    stack_pointers = stack.pointers();
    record_of_stack = PainnStack{h, 3, 2, 0, 1e-4, stack_pointers.data()};
    record.n_features = f;
    record.n_interactions = s.blocks;
    record.n_rbf = s.rbf;
    record.n_elements = elements;
    record.radial_basis = s.basis;
    record.cutoff_function = s.cutoff;
    record.n_hidden = int32_t(s.hidden.size());
    record.single = single;
    record.cutoff = 3.;
    record.epsilon = 1e-4;
    record.scale = 0.7;
    record.hidden = shape.hidden.data();
    record.centers = centers.data();
    record.widths = widths.data();
    record.reference = reference.data();
    record.tensors = pointers.data();
    record.network = s.filters ? PAINN_NETWORK_SCHNET : PAINN_NETWORK_PAINN;
    record.n_filters = s.filters;
    record.n_stacks = s.filters ? 0 : 1;
    record.stacks = &record_of_stack;
  }
};

struct Case {
  int n, systems;
  std::vector<double> positions, velocities, shifts, energy, energies, forces, virial;
  std::vector<double> scalars, vectors, scalar_rates, vector_rates;
  std::vector<int32_t> species, system, i, j;

  Case(int n_atoms, int n_systems) : n(n_atoms), systems(n_systems) {
    const int side = int(std::ceil(std::cbrt(double(n))));
    for (int a = 0; a < n; a++) {
      const int site[3] = {a / (side * side), a / side % side, a % side};
      for (int c = 0; c < 3; c++) {
        positions.push_back(1.5 * site[c] + uniform(-0.2, 0.2));
        velocities.push_back(uniform(-1., 1.));
      }
      species.push_back(a % 3);
      system.push_back(int32_t(int64_t(a) * systems / n));
    }
    for (int a = 0; a < n; a++) {
      for (int b = a; b < n; b++)
        if (system[a] == system[b])
          for (int image = (a == b); image < 2; image++) {  // images along z, 1.5·side + 0.4 away
            i.push_back(a);
            j.push_back(b);
            for (int c = 0; c < 3; c++) shifts.push_back(c == 2 ? image * (1.5 * side + 0.4) : 0.);
          }
    }
    energy.resize(systems);
    energies.resize(n);
    forces.resize(3 * n);
    virial.resize(9 * systems);
    scalars.resize(3 * n);
    vectors.resize(6 * n);
    scalar_rates.resize(3 * n);
    vector_rates.resize(6 * n);
  }
  PainnTask task(bool derivatives, bool response) {
    PainnTask t{};
    t.n_atoms = n;
    t.n_systems = systems;
    t.n_pairs = int32_t(i.size());
    t.derivatives = derivatives;
    t.positions = positions.data();
    t.species = species.data();
    t.system = system.data();
    t.idx_i = i.data();
    t.idx_j = j.data();
    t.shifts = shifts.data();
    t.energy = energy.data();
    t.energies = energies.data();
    t.forces = forces.data();
    t.virial = virial.data();
    if (response) {
      t.velocities = velocities.data();
      t.stacks = 1;
      t.outputs[0] = {scalars.data(), vectors.data(), scalar_rates.data(), vector_rates.data()};
    }
    return t;
  }
  double total() const {
    double sum = 0.;
    for (double e : energy) sum += e;
    return sum;
  }
};

void require(bool condition, const char* what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what);
  std::exit(1);
}

// Sums over atoms of what the stack said last, in each form: finite, with and without rates.
void check_readouts(Case& c) {
  std::vector<double> ones(c.n, 1.), charge(c.systems, 0.5), value(9 * c.systems),
      rate(9 * c.systems), charges(c.n), room(painn_readout_room(c.systems));
  for (int form = 0; form < 8; form++) {
    PainnReadout r{};
    r.n_atoms = c.n;
    r.n_systems = c.systems;
    r.quantity = form & 1;
    r.local = form >> 1 & 1;
    r.n_scalars = 3;
    r.n_vectors = 2;
    r.scale = 0.3;
    r.positions = c.positions.data();
    r.velocities = form & 4 ? c.velocities.data() : nullptr;
    r.weights = ones.data();
    r.isotropic = ones.data();
    r.system = c.system.data();
    r.charge = charge.data();
    r.output = {c.scalars.data(), c.vectors.data(), c.scalar_rates.data(), c.vector_rates.data()};
    r.value = value.data();
    r.rate = rate.data();
    r.charges = charges.data();
    r.room = room.data();
    painn_readout(&r);
    for (double x : value) require(std::isfinite(x), "finite readout");
    for (double x : rate) require(std::isfinite(x), "finite rate of a readout");
  }
}

void check(void* kernel, Case& c, int threads, bool single, bool responses) {
  for (int response = 0; response <= int(responses); response++) {
    const PainnTask energy_only = c.task(false, response);
    require(painn_compute(kernel, &energy_only, threads) == 0, "memory");
    const PainnTask full = c.task(true, response);
    require(painn_compute(kernel, &full, threads) == 0, "memory");
    for (double f : c.forces) require(std::isfinite(f), "finite forces");
    if (response) check_readouts(c);
  }
  if (single || c.n < 2) return;
  const std::vector<double> forces = c.forces, rates = c.scalar_rates;
  const double step = 1e-5;
  double slope = 0.;
  std::vector<double> scalar_slope(c.scalars.size());
  const std::vector<double> start = c.positions;
  for (int sign : {1, -1}) {
    for (int x = 0; x < 3 * c.n; x++) c.positions[x] = start[x] + sign * step * c.velocities[x];
    const PainnTask t = c.task(false, responses);
    require(painn_compute(kernel, &t, threads) == 0, "memory");
    slope += sign * c.total() / (2. * step);
    for (size_t k = 0; k < scalar_slope.size(); k++)
      scalar_slope[k] += sign * c.scalars[k] / (2. * step);
  }
  c.positions = start;
  double expected = 0.;
  for (int x = 0; x < 3 * c.n; x++) expected -= forces[x] * c.velocities[x];
  require(std::abs(slope - expected) < 1e-5 * (1. + std::abs(expected)), "forces");
  for (size_t k = 0; responses && k < rates.size(); k++)
    require(std::abs(scalar_slope[k] - rates[k]) < 1e-4 * (1. + std::abs(rates[k])), "rates");
}

}  // namespace

int main() {
  const std::vector<Shape> shapes = {
      {24, 3, 20, 0, 0, {12}}, {8, 1, 1, 1, 1, {}}, {40, 2, 7, 0, 1, {9, 5}},
      {24, 3, 20, 1, 0, {12}, 40}, {8, 1, 1, 0, 1, {}, 5}, {40, 2, 7, 1, 1, {9, 5}, 16}};
  int n_checks = 0;
  for (const Shape& shape : shapes)
    for (bool single : {false, true})
      for (int isa = 0; isa < 3; isa++) {
        if (!painn_supports(isa)) continue;
        const Model model(shape, single);
        void* kernel = painn_create(&model.record, isa);
        require(kernel != nullptr, "create");
        for (int threads : {1, 3, 2})
          for (const auto& size : std::vector<std::pair<int, int>>{{7, 1}, {1, 1}, {60, 4}, {110, 1}}) {
            Case c(size.first, size.second);
            check(kernel, c, threads, single, !shape.filters);
            n_checks++;
          }
        painn_destroy(kernel);
      }
  std::printf("%d cases passed\n", n_checks);
  return 0;
}
