// One PaiNN step: energies, forces and virial, forward and backward written out by hand.
//
// Included once per instruction set by kernel_*.cpp, which name the namespace. Threads own ranges
// of atoms in the node stages and ranges of pairs in the edge stages. All but the first add their
// messages to rows of their own, which the next node stage sums in a fixed order: no atomics, and
// the same result from run to run for the same number of threads.
#ifndef PAINN_KERNEL_H
#define PAINN_KERNEL_H
#include "first.h"
#include "nodes.h"
#include "rates.h"

namespace {

template <class T>
struct Stepper : Worker<Step<T>> {
  using Base = Worker<Step<T>>;
  using Base::s, Base::task, Base::team, Base::thread;
  using Base::add_energies, Base::barrier, Base::clock, Base::collect, Base::for_atoms, Base::share;

  void geometry(ThreadBuffers<T>& b) {
    const int kp = s.w.kp;
    b.p_begin = share(task.n_pairs, thread);
    b.p_end = close_pairs(task, b.p_begin, share(task.n_pairs, thread + 1), s.w.basis.cutoff, s.pairs);
    for (int p = b.p_begin; p < b.p_end; p += group) {
      const int n = b.p_end - p < group ? b.p_end - p : group;
      basis_rows<T>(s.w.basis, n, s.pairs.d + p, kp, s.pairs.phi + ptrdiff_t(p) * kp,
                    s.pairs.dphi + ptrdiff_t(p) * kp);
    }
    const int n_blocks = (task.n_atoms + block_atoms - 1) / block_atoms;
    std::memset(b.touched, 0, n_blocks);
    for (int p = b.p_begin; p < b.p_end; p++)
      b.touched[s.pairs.i[p] / block_atoms] = b.touched[s.pairs.j[p] / block_atoms] = 1;
    const ptrdiff_t e = ptrdiff_t(s.n_present) * kp * task.n_atoms;
    if (thread == 0) {
      std::memset(s.ds, 0, sizeof(T) * e);
      std::memset(s.dv, 0, sizeof(T) * 3 * e);
    }
    collect_basis(s, b.p_begin, b.p_end, thread ? b.rows : s.ds, thread ? b.rows + e : s.dv);
  }

  // From features after the messages of block k to those before the messages of the next, or on
  // to the energy and, where derivatives are wanted, back to before the messages of the last.
  void forward_nodes(ThreadBuffers<T>& b, int k, T* gm) {
    const ptrdiff_t f = s.w.f, e = ptrdiff_t(s.n_present) * s.w.kp, n_all = task.n_atoms;
    for_atoms([&](int a, int n) {
      if (k == 0) {
        gather_rows(s, team.n_threads, s.ds, 0, a, n, e);
        gather_rows(s, team.n_threads, s.dv, size_t(n_all * e), a, n, 3 * e);
        first_features(s, task, a, n);
      } else {
        gather_rows(s, team.n_threads, s.q, 0, a, n, f);
        gather_rows(s, team.n_threads, s.blocks[k + 1].mu, size_t(n_all * f), a, n, 3 * f);
      }
      mixing(s, task, k, b, a, n);
      if (k + 1 < s.w.n_blocks) {
        context(s, k + 1, b, a, n);
        return;
      }
      energy_head(s.w.energy, task, b.energy, s.q + a * f, s.gq + a * f, f, a, n);
      if (task.derivatives) backward_mixing(b, k, gm, a, n);
    });
  }

  void backward_mixing(ThreadBuffers<T>& b, int k, T* gm, int a, int n) {
    const ptrdiff_t f = s.w.f;
    mixing_backward(s, task, k, b, gm, a, n);
    if (k == 0) {
      first_gradient(s, gm, a, n);
      return;
    }
    std::memset(s.gx + 3 * a * f, 0, sizeof(T) * 3 * n * f);
    T* other = gm == s.gm[0] ? s.gm[1] : s.gm[0];
    std::memcpy(other + 3 * a * f, gm + 3 * a * f, sizeof(T) * 3 * n * f);
  }

  void backward_nodes(ThreadBuffers<T>& b, int k, T* gm) {
    const ptrdiff_t f = s.w.f, n_all = task.n_atoms;
    for_atoms([&](int a, int n) {
      gather_rows(s, team.n_threads, s.gx, 0, a, n, 3 * f);
      gather_rows(s, team.n_threads, gm, size_t(3 * n_all * f), a, n, 3 * f);
      context_backward(s, k, b, a, n);
      backward_mixing(b, k - 1, gm, a, n);
    });
  }

  // Rates of all features: scalars' in s.gq, vectors' in `tmu` on return. The buffers of the
  // backward pass serve again.
  void follow_velocities(ThreadBuffers<T>& b, T*& tmu, T*& next) {
    const ptrdiff_t f = s.w.f, e = ptrdiff_t(s.n_present) * s.w.kp, n_all = task.n_atoms;
    barrier();  // everyone has read the first block's gradients, whose place is taken now
    pair_rates(s.pairs, s.rates, task.velocities, b.p_begin, b.p_end, s.w.kp);
    if (thread == 0) {
      std::memset(s.ds, 0, sizeof(T) * e * n_all);
      std::memset(s.dv, 0, sizeof(T) * 3 * e * n_all);
    }
    collect_basis_rates(s, b.p_begin, b.p_end, thread ? b.rows : s.ds,
                        thread ? b.rows + e * n_all : s.dv);
    for (int k = 0; k < s.w.n_blocks; k++) {
      barrier();
      if (k > 0) {
        const RateArrays<T> r = {s.blocks[k].x,        s.gx, s.blocks[k].mu, tmu,
                                 thread ? b.rows : s.gq, thread ? b.rows + n_all * f : next};
        edge_tangent(s.pairs, s.rates, b.p_begin, b.p_end, s.w.f, s.w.kp, s.w.blocks[k].filter,
                     b.edge, r);
        barrier();
        T* swap = tmu;
        tmu = next;
        next = swap;
      }
      for_atoms([&](int a, int n) {
        if (k == 0) {
          gather_rows(s, team.n_threads, s.ds, 0, a, n, e);
          gather_rows(s, team.n_threads, s.dv, size_t(n_all * e), a, n, 3 * e);
          first_rates(s, tmu, a, n);
        } else {
          gather_rows(s, team.n_threads, s.gq, 0, a, n, f);
          gather_rows(s, team.n_threads, tmu, size_t(n_all * f), a, n, 3 * f);
        }
        mixing_rates(s, k, b, tmu, a, n);
        if (k + 1 == s.w.n_blocks) return;
        context_rates(s, k + 1, b, a, n);
        std::memcpy(next + 3 * a * f, tmu + 3 * a * f, sizeof(T) * 3 * n * f);
      });
    }
  }

  void response_heads(ThreadBuffers<T>& b, const T* tmu) {
    const ptrdiff_t f = s.w.f;
    const T* mu = s.blocks[s.w.n_blocks].mu;
    for_atoms([&](int a, int n) {
      const AtomFeatures<T> in = {s.q + a * f, mu + 3 * a * f, tmu ? s.gq + a * f : nullptr,
                                  tmu ? tmu + 3 * a * f : nullptr};
      for (int k = 0; k < s.w.n_stacks; k++)
        if (task.stacks >> k & 1)
          gated_stack(s.w.stacks[k], n, in, b.head, b.head_out, task.outputs[k], a);
    });
  }

  void run() {
    ThreadBuffers<T>& b = s.threads[thread];
    const int n_blocks = s.w.n_blocks;
    const ptrdiff_t f = s.w.f, n_all = task.n_atoms;
    clock(-1);
    geometry(b);
    barrier();
    clock(0);
    T *gm = s.gm[0], *gm_next = s.gm[1];
    forward_nodes(b, 0, gm);
    clock(1);
    for (int k = 1; k < n_blocks; k++) {
      barrier();
      edge_forward(s.pairs, b.p_begin, b.p_end, s.w.f, s.w.kp, s.w.blocks[k].filter, b.edge,
                   s.blocks[k].x, s.blocks[k].mu, thread ? b.rows : s.q,
                   thread ? b.rows + n_all * f : s.blocks[k + 1].mu);
      barrier();
      clock(2);
      forward_nodes(b, k, gm);
      clock(1);
    }
    if (task.derivatives) {
      std::memset(s.pairs.gd + b.p_begin, 0, sizeof(T) * (b.p_end - b.p_begin));
      std::memset(s.pairs.gu + 3 * ptrdiff_t(b.p_begin), 0, sizeof(T) * 3 * (b.p_end - b.p_begin));
      std::memset(b.forces, 0, sizeof(double) * 3 * task.n_atoms);
      std::memset(b.virial, 0, sizeof(double) * 9 * task.n_systems);
      for (int k = n_blocks - 1; k > 0; k--) {
        barrier();
        edge_backward(s.pairs, b.p_begin, b.p_end, s.w.f, s.w.kp, s.w.blocks[k].filter, b.edge,
                      s.blocks[k].x, s.blocks[k].mu, s.gq, gm, thread ? b.rows : s.gx,
                      thread ? b.rows + 3 * n_all * f : gm_next);
        barrier();
        clock(3);
        T* swap = gm;
        gm = gm_next;
        gm_next = swap;
        backward_nodes(b, k, gm);
        clock(4);
      }
      barrier();
      pair_forces(s, task, b);
      barrier();
      collect();
      clock(5);
    }
    if (task.velocities && task.stacks) {
      follow_velocities(b, gm, gm_next);
      clock(6);
    }
    if (task.stacks) {
      response_heads(b, task.velocities ? gm : nullptr);
      clock(7);
    }
    barrier();
    if (thread) return;
    add_energies();
  }
};


template <class T>
void destroy(void* self) {
  Step<T>* s = static_cast<Step<T>*>(self);
  const PainnServices services = s->services;
  free_weights(s->w, services);
  services.release(s->arena);
  services.release(s->threads);
  services.release(s->blocks);
  services.release(s);
}

template <class T>
void* create(const PainnModel* model, const PainnServices* services) {
  void* memory = services->allocate(sizeof(Step<T>));
  if (!memory) return nullptr;
  Step<T>* s = new (memory) Step<T>();
  s->services = *services;
  build_weights(s->w, *services, *model);
  s->blocks = static_cast<BlockState<T>*>(
      services->allocate(sizeof(BlockState<T>) * (model->n_interactions + 1)));
  if (!s->w.complete || !s->blocks) {
    destroy<T>(s);
    return nullptr;
  }
  return s;
}

template <class T>
int prepare_step(void* self, const PainnTask* task, int n_threads) {
  return prepare(*static_cast<Step<T>*>(self), *task, n_threads);
}

template <class T>
void run_step(void* self, const PainnTask* task, const PainnTeam* team, int thread) {
  Stepper<T>{{*static_cast<Step<T>*>(self), *task, *team, thread}}.run();
}

template <class T>
const PainnKernel* kernel_table() {
  static const PainnKernel table = {create<T>, destroy<T>, prepare_step<T>, run_step<T>};
  return &table;
}

}  // namespace
#endif
