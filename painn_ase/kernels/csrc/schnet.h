// One SchNet step: energies, forces and virial, forward and backward written out by hand.
//
// Included once per instruction set by schnet_*.cpp. Threads share the work as kernel.h says.
#ifndef PAINN_SCHNET_H
#define PAINN_SCHNET_H
#include "arena.h"
#include "schnet_edges.h"
#include "worker.h"

namespace {

template <class T>
struct SchNetThread {
  T* rows;           // (N, G), zeros between stages: private messages (null for the first thread)
  T* h;              // node stage, block_atoms rows
  EnergyRoom<T> energy;
  FilterRoom<T> filter;
  uint8_t* touched;  // blocks of atoms whose private rows are not zero between stages
  double *forces, *virial;
  int p_begin, p_end;  // this thread's pairs inside the cutoff
};

template <class T>
struct ConvolutionState {
  T *y, *slope;  // (N, G) what neighbours read, (N, F) slope of the update's activation
  T* filters;    // (pairs, G) for the backward pass; the first block needs none
};

template <class T>
struct SchNetStep {
  PainnServices services;
  SchNetWeights<T> w;
  void* arena = nullptr;
  int max_atoms = 0, max_pairs = 0, max_systems = 0, max_threads = 0;
  ConvolutionState<T>* blocks = nullptr;
  CutPairs<T> ps{};
  SchNetThread<T>* threads = nullptr;
  T *q, *gq;  // (N, F) features and dE/dq
  T *v, *gv;  // (N, G) messages received and dE/dv
  T* gy;      // (N, G) dE/dy
};

template <class T>
void lay_out(SchNetStep<T>& s, Bump& m) {
  const SchNetWeights<T>& w = s.w;
  const size_t n = s.max_atoms, f = w.f, g = w.g, p = s.max_pairs;
  for (int k = 0; k < w.n_blocks; k++) {
    s.blocks[k].y = m.take<T>(n * g);
    s.blocks[k].slope = m.take<T>(n * f);
    s.blocks[k].filters = k ? m.take<T>(p * g) : nullptr;
  }
  Pairs<T>& ps = s.ps.pairs;
  ps.i = m.take<int32_t>(p);
  ps.j = m.take<int32_t>(p);
  ps.source = m.take<int32_t>(p);
  ps.r = m.take<double>(3 * p);
  ps.d = m.take<double>(p + group);
  ps.u = m.take<T>(3 * p);
  ps.phi = m.take<T>(p * w.kp);
  ps.dphi = m.take<T>(p * w.kp);
  ps.gd = m.take<T>(p);
  s.ps.f = m.take<double>(p);
  s.ps.df = m.take<double>(p);
  s.q = m.take<T>(n * f);
  s.gq = m.take<T>(n * f);
  s.v = m.take<T>(n * g);
  s.gv = m.take<T>(n * g);
  s.gy = m.take<T>(n * g);
  for (int t = 0; t < s.max_threads; t++) {
    SchNetThread<T>& b = s.threads[t];
    b.rows = t ? m.take<T>(n * g) : nullptr;
    b.touched = m.take<uint8_t>(n / block_atoms + 1);
    b.h = m.take<T>(block_atoms * f);
    lay_out(b.energy, m, w.energy);
    const size_t wide = size_t(block_pairs) * w.filter;
    b.filter.h = m.take<T>(wide);
    b.filter.dh = m.take<T>(wide);
    b.filter.slope = m.take<T>(wide);
    b.filter.w = m.take<T>(block_pairs * panel_vectors * lanes<T>);
    b.filter.dw = m.take<T>(block_pairs * panel_vectors * lanes<T>);
    b.filter.sums = m.take<T>(block_pairs * lanes<T>);
    b.forces = m.take<double>(3 * n);
    b.virial = m.take<double>(9 * size_t(s.max_systems));
  }
}

// Room for this many atoms, pairs and threads. Shrinks never.
template <class T>
int prepare(SchNetStep<T>& s, const PainnTask& task, int n_threads) {
  if (s.arena && task.n_atoms <= s.max_atoms && task.n_pairs <= s.max_pairs &&
      task.n_systems <= s.max_systems && n_threads <= s.max_threads)
    return 0;
  s.max_atoms = roomier(s.max_atoms, task.n_atoms);
  s.max_pairs = roomier(s.max_pairs, task.n_pairs);
  s.max_systems = roomier(s.max_systems, task.n_systems);
  if (n_threads > s.max_threads) {
    s.services.release(s.threads);
    s.max_threads = n_threads;
    s.threads =
        static_cast<SchNetThread<T>*>(s.services.allocate(sizeof(SchNetThread<T>) * n_threads));
  }
  s.services.release(s.arena);
  s.arena = nullptr;
  if (!s.threads) {
    s.max_threads = 0;
    return 1;
  }
  Bump count{nullptr, 0};
  lay_out(s, count);
  s.arena = s.services.allocate(count.used);
  if (!s.arena) return 1;
  Bump give{static_cast<char*>(s.arena), 0};
  lay_out(s, give);
  return 0;
}

template <class T>
struct SchNetStepper : Worker<SchNetStep<T>> {
  using Base = Worker<SchNetStep<T>>;
  using Base::s, Base::task, Base::team, Base::thread;
  using Base::add_energies, Base::barrier, Base::clock, Base::collect, Base::for_atoms, Base::share;

  void geometry(SchNetThread<T>& b) {
    const Pairs<T>& ps = s.ps.pairs;
    const int kp = s.w.kp;
    b.p_begin = share(task.n_pairs, thread);
    b.p_end = close_pairs(task, b.p_begin, share(task.n_pairs, thread + 1), s.w.basis.cutoff, ps);
    for (int p = b.p_begin; p < b.p_end; p += group) {
      const int n = b.p_end - p < group ? b.p_end - p : group;
      basis_rows<T>(s.w.basis, n, ps.d + p, kp, ps.phi + ptrdiff_t(p) * kp,
                    ps.dphi + ptrdiff_t(p) * kp);
    }
    cutoff_of(s.w.cutoff, s.ps, b.p_begin, b.p_end);
    std::memset(b.touched, 0, (task.n_atoms + block_atoms - 1) / block_atoms);
    for (int p = b.p_begin; p < b.p_end; p++)
      b.touched[ps.i[p] / block_atoms] = b.touched[ps.j[p] / block_atoms] = 1;
  }

  // What neighbours read of block k, and no message received yet.
  void carry(int k, int a, int n) {
    const ptrdiff_t f = s.w.f, g = s.w.g;
    product<T>(n, s.q + a * f, f, s.w.blocks[k].carry.forward, s.blocks[k].y + a * g, g);
    std::memset(s.v + a * g, 0, sizeof(T) * n * g);
  }

  void embed() {
    const ptrdiff_t f = s.w.f;
    for_atoms([&](int a, int n) {
      for (int i = a; i < a + n; i++)
        std::memcpy(s.q + i * f, s.w.embedding + task.species[i] * f, sizeof(T) * f);
      carry(0, a, n);
    });
  }

  // From the messages of block k to what the next block's neighbours read, or on to the energy
  // and, where derivatives are wanted, back to dE/d(messages of the last).
  void forward_nodes(SchNetThread<T>& b, int k) {
    const ptrdiff_t f = s.w.f, g = s.w.g;
    const Convolution<T>& block = s.w.blocks[k];
    for_atoms([&](int a, int n) {
      gather_rows(s, team.n_threads, s.v, 0, a, n, g);
      product<T>(n, s.v + a * g, g, block.update0.forward, b.h, f, Start::bias, block.update0.bias);
      softplus_with_slope(b.h, s.blocks[k].slope + a * f, n * f);
      T* q = s.q + a * f;
      for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t c = 0; c < f; c += lanes<T>)
          add_to<T>(q + i * f + c, load<T>(block.update2.bias + c));
      product<T>(n, b.h, f, block.update2.forward, q, f, Start::accumulate);
      if (k + 1 < s.w.n_blocks) {
        carry(k + 1, a, n);
        return;
      }
      energy_head(s.w.energy, task, b.energy, q, s.gq + a * f, f, a, n);
      if (task.derivatives) backward_update(b, k, a, n);
    });
  }

  // dE/dv of block k from dE/dq after it, and no gradient of its senders yet.
  void backward_update(SchNetThread<T>& b, int k, int a, int n) {
    const ptrdiff_t f = s.w.f, g = s.w.g;
    const Convolution<T>& block = s.w.blocks[k];
    product<T>(n, s.gq + a * f, f, block.update2.backward, b.h, f);
    const T* PAINN_RESTRICT slope = s.blocks[k].slope + a * f;
    T* PAINN_RESTRICT h = b.h;
    for (ptrdiff_t c = 0; c < n * f; c++) h[c] *= slope[c];
    product<T>(n, b.h, f, block.update0.backward, s.gv + a * g, g);
    std::memset(s.gy + a * g, 0, sizeof(T) * n * g);
  }

  void backward_nodes(SchNetThread<T>& b, int k) {
    const ptrdiff_t f = s.w.f, g = s.w.g;
    for_atoms([&](int a, int n) {
      gather_rows(s, team.n_threads, s.gy, 0, a, n, g);
      product<T>(n, s.gy + a * g, g, s.w.blocks[k].carry.backward, s.gq + a * f, f,
                 Start::accumulate);
      backward_update(b, k - 1, a, n);
    });
  }

  void run() {
    SchNetThread<T>& b = s.threads[thread];
    clock(-1);
    geometry(b);
    clock(0);
    embed();
    clock(1);
    for (int k = 0; k < s.w.n_blocks; k++) {
      barrier();
      convolve(s.w, s.w.blocks[k], s.ps, b.p_begin, b.p_end, b.filter,
               task.derivatives ? s.blocks[k].filters : nullptr, s.blocks[k].y,
               thread ? b.rows : s.v);
      barrier();
      clock(2);
      forward_nodes(b, k);
      clock(1);
    }
    if (task.derivatives) {
      std::memset(s.ps.pairs.gd + b.p_begin, 0, sizeof(T) * (b.p_end - b.p_begin));
      std::memset(b.forces, 0, sizeof(double) * 3 * task.n_atoms);
      std::memset(b.virial, 0, sizeof(double) * 9 * task.n_systems);
      for (int k = s.w.n_blocks - 1; k >= 0; k--) {
        // The first block's neighbours send what their element says: nothing flows back.
        T* gy = k == 0 ? nullptr : thread ? b.rows : s.gy;
        barrier();
        convolve_backward(s.w, s.w.blocks[k], s.ps, b.p_begin, b.p_end, b.filter,
                          s.blocks[k].filters, s.blocks[k].y, s.gv, gy);
        clock(3);
        if (k == 0) break;
        barrier();
        backward_nodes(b, k);
        clock(4);
      }
      radial_forces(s.ps.pairs, task, b.p_begin, b.p_end, b.forces, b.virial);
      barrier();
      collect();
      clock(5);
    }
    barrier();
    if (thread == 0) add_energies();
  }
};

template <class T>
void destroy_schnet(void* self) {
  SchNetStep<T>* s = static_cast<SchNetStep<T>*>(self);
  const PainnServices services = s->services;
  free_weights(s->w, services);
  services.release(s->arena);
  services.release(s->threads);
  services.release(s->blocks);
  services.release(s);
}

template <class T>
void* create_schnet(const PainnModel* model, const PainnServices* services) {
  void* memory = services->allocate(sizeof(SchNetStep<T>));
  if (!memory) return nullptr;
  SchNetStep<T>* s = new (memory) SchNetStep<T>();
  s->services = *services;
  build_weights(s->w, *services, *model);
  s->blocks = static_cast<ConvolutionState<T>*>(
      services->allocate(sizeof(ConvolutionState<T>) * model->n_interactions));
  if (!s->w.complete || !s->blocks) {
    destroy_schnet<T>(s);
    return nullptr;
  }
  return s;
}

template <class T>
int prepare_schnet(void* self, const PainnTask* task, int n_threads) {
  return prepare(*static_cast<SchNetStep<T>*>(self), *task, n_threads);
}

template <class T>
void run_schnet(void* self, const PainnTask* task, const PainnTeam* team, int thread) {
  SchNetStepper<T>{{*static_cast<SchNetStep<T>*>(self), *task, *team, thread}}.run();
}

template <class T>
const PainnKernel* schnet_table() {
  static const PainnKernel table = {create_schnet<T>, destroy_schnet<T>, prepare_schnet<T>,
                                    run_schnet<T>};
  return &table;
}

}  // namespace
#endif
