// The C interface between Python (ctypes) and the fused kernels, and between their own files.
//
// Plain C records only: no Python, NumPy or torch header is needed, so one binary serves them all.
#ifndef PAINN_ABI_H
#define PAINN_ABI_H
#include <cstddef>
#include <cstdint>

#if defined(_WIN32)
#define PAINN_EXPORT extern "C" __declspec(dllexport)
#else
#define PAINN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

// Raised with every change of the records below; Python refuses a library that answers otherwise.
#define PAINN_ABI_VERSION 4
#define PAINN_STAGES 8
#define PAINN_MAX_STACKS 2
#define PAINN_DIPOLE 0
#define PAINN_POLARIZABILITY 1
#define PAINN_NETWORK_PAINN 0
#define PAINN_NETWORK_SCHNET 1

extern "C" {

// A stack of two gated blocks: (F, F) -> (n_hidden, n_hidden) -> (n_scalars, n_vectors). Tensors of
// each block: vector_mix w, context.0 w, b, context.2 w, b.
struct PainnStack {
  int32_t n_hidden, n_scalars, n_vectors, reserved;
  double epsilon;
  const double* const* tensors;
};

// A model: sizes and weights. Tensors are row-major float64 as torch.nn.Linear stores them
// (out, in), in this order: embedding; the blocks; for each layer of the energy MLP w, b. Blocks of
// PaiNN: for each block filter weight, bias; for each block context.0 w, b, context.2 w, b,
// vector_mix w, mixing.context.0 w, b, mixing.context.2 w, b. Of SchNet: for each block carry w,
// filter.0 w, b, filter.2 w, b, update.0 w, b, update.2 w, b.
struct PainnModel {
  int32_t n_features, n_interactions, n_rbf, n_elements;
  int32_t radial_basis;     // 0 Bessel, 1 Gaussian
  int32_t cutoff_function;  // 0 cosine, 1 polynomial
  int32_t n_hidden;         // hidden layers of the energy MLP
  int32_t single;           // 1 float32, 0 float64
  double cutoff, epsilon, scale;
  const int32_t* hidden;    // (n_hidden,) widths
  const double* centers;    // (n_rbf,) of the Gaussians; Bessel: frequency - n·pi/cutoff
  const double* widths;     // (n_rbf,) of the Gaussians
  const double* reference;  // (n_elements,) reference energies
  const double* const* tensors;
  int32_t n_stacks;
  int32_t network;          // PAINN_NETWORK_…
  const PainnStack* stacks;
  int32_t n_filters;        // width of SchNet's convolution
  int32_t reserved;
};

// What a stack says of each atom, and how fast it changes; the rates need velocities.
struct PainnStackOutput {
  double* scalars;       // (n_atoms, n_scalars)
  double* vectors;       // (n_atoms, 3, n_vectors)
  double* scalar_rates;  // as scalars
  double* vector_rates;  // as vectors
};

// One evaluation of one or many structures. Every pair stands once; pairs are sorted by idx_i.
struct PainnTask {
  int32_t n_atoms, n_systems, n_pairs;
  int32_t derivatives;      // 0 energies only, 1 forces and virial too
  const double* positions;  // (n_atoms, 3)
  const int32_t* species;   // (n_atoms,) index into the model's elements
  const int32_t* system;    // (n_atoms,)
  const int32_t* idx_i;     // (n_pairs,)
  const int32_t* idx_j;     // (n_pairs,)
  const double* shifts;     // (n_pairs, 3) Cartesian shift of atom j
  double* energy;           // (n_systems,)
  double* energies;         // (n_atoms,)
  double* forces;           // (n_atoms, 3)
  double* virial;           // (n_systems, 3, 3), dE/d strain
  double* seconds;          // (PAINN_STAGES,) wall time per stage added up, or null
  const double* velocities; // (n_atoms, 3) where rates are wanted, or null
  int32_t stacks;           // bit k: evaluate stack k
  int32_t reserved;
  PainnStackOutput outputs[PAINN_MAX_STACKS];
};

// A response head's sums over the atoms of each structure, from what its stack said of them.
struct PainnReadout {
  int32_t n_atoms, n_systems;
  int32_t quantity;  // PAINN_DIPOLE or PAINN_POLARIZABILITY
  int32_t local;     // 0 positions as lever arms, 1 no origin
  int32_t n_scalars, n_vectors;
  double scale;
  const double* positions;   // (n_atoms, 3)
  const double* velocities;  // (n_atoms, 3) where rates are wanted, or null
  const double* weights;     // (n_atoms,) whose centre is the origin; null for the coordinates' own
  const double* isotropic;   // (n_atoms,) added to the isotropic part of the polarizability
  const int32_t* system;     // (n_atoms,)
  const double* charge;      // (n_systems,) total charges
  PainnStackOutput output;
  double* value;    // (n_systems, 3) or (n_systems, 3, 3)
  double* rate;     // as value
  double* charges;  // (n_atoms,) of a dipole with lever arms
  double* room;     // painn_readout_room(n_systems) doubles
};

}  // extern "C"

// What the dispatcher lends to a kernel: memory, time and the barrier of the threads in a step.
struct PainnServices {
  void* (*allocate)(size_t bytes);  // 64-byte aligned, zeroed
  void (*release)(void*);
  double (*now)();
};
struct PainnTeam {
  int32_t n_threads;
  void (*barrier)(void* team);
  void* team;
};

// One instruction set's kernel. `prepare` is called by one thread, `run` by all of them.
struct PainnKernel {
  void* (*create)(const PainnModel*, const PainnServices*);
  void (*destroy)(void*);
  int (*prepare)(void*, const PainnTask*, int n_threads);  // 0, or 1 when memory is short
  void (*run)(void*, const PainnTask*, const PainnTeam*, int thread);
};

namespace painn {
const PainnKernel* portable_kernel(bool single);
const PainnKernel* avx2_kernel(bool single);
const PainnKernel* avx512_kernel(bool single);
const PainnKernel* portable_schnet(bool single);
const PainnKernel* avx2_schnet(bool single);
const PainnKernel* avx512_schnet(bool single);
}  // namespace painn
#endif
