// One thread in a step: its share of the atoms, its clock, and the sums over all threads.
//
// A step `S` has services, and for each thread in `threads` rows, touched, forces and virial.
#ifndef PAINN_WORKER_H
#define PAINN_WORKER_H
#include "abi.h"
#include "linear.h"

namespace {

// Adds the rows of atoms [a0, a0 + n), `w` numbers each, of every private buffer, at `offset`
// there, and clears them. Blocks of atoms that a thread's pairs do not touch are passed over.
template <class S, class T>
void gather_rows(const S& s, int n_threads, T* to, size_t offset, ptrdiff_t a0, ptrdiff_t n,
                 ptrdiff_t w) {
  for (int t = 1; t < n_threads; t++) {
    const auto& b = s.threads[t];
    for (ptrdiff_t a = a0; a < a0 + n;) {
      const ptrdiff_t block = a / block_atoms, block_end = (block + 1) * block_atoms;
      const ptrdiff_t end = block_end < a0 + n ? block_end : a0 + n;
      if (b.touched[block]) {
        T* from = b.rows + offset + a * w;
        T* out = to + a * w;
        for (ptrdiff_t c = 0; c < (end - a) * w; c += lanes<T>) {
          add_to<T>(out + c, load<T>(from + c));
          store<T>(from + c, splat<T>(T(0)));
        }
      }
      a = end;
    }
  }
}

template <class S>
struct Worker {
  S& s;
  const PainnTask& task;
  const PainnTeam& team;
  int thread;
  double last = 0.;

  void clock(int stage) {
    if (thread != 0 || !task.seconds) return;
    const double t = s.services.now();
    if (stage >= 0) task.seconds[stage] += t - last;
    last = t;
  }
  void barrier() {
    if (team.n_threads > 1) team.barrier(team.team);
  }
  int share(int n, int t) const { return static_cast<int>(int64_t(n) * t / team.n_threads); }

  template <class Stage>
  void for_atoms(Stage stage) {
    const int begin = share(task.n_atoms, thread), end = share(task.n_atoms, thread + 1);
    for (int a = begin; a < end; a += block_atoms)
      stage(a, end - a < block_atoms ? end - a : block_atoms);
  }

  void collect() {
    for (int i = share(task.n_atoms, thread); i < share(task.n_atoms, thread + 1); i++)
      for (int a = 0; a < 3; a++) {
        double sum = 0.;
        for (int t = 0; t < team.n_threads; t++) sum += s.threads[t].forces[3 * ptrdiff_t(i) + a];
        task.forces[3 * ptrdiff_t(i) + a] = sum;
      }
    if (thread) return;
    for (int c = 0; c < 9 * task.n_systems; c++) {
      task.virial[c] = 0.;
      for (int t = 0; t < team.n_threads; t++) task.virial[c] += s.threads[t].virial[c];
    }
  }

  // Energies of the structures, by the first thread when all atoms have theirs.
  void add_energies() const {
    for (int k = 0; k < task.n_systems; k++) task.energy[k] = 0.;
    for (int i = 0; i < task.n_atoms; i++) task.energy[task.system[i]] += task.energies[i];
  }
};

}  // namespace
#endif
