// LAMMPS's pair style painn_ase: atoms, ghosts and pairs go to a Python process beside each rank,
// which holds the model; forces come back, and in between the features of ghosts are exchanged by
// LAMMPS's own communication. Compiled by painn_ase/engines/lammps.py for the LAMMPS it finds.
//
// The process and not the interpreter inside LAMMPS: the program `lmp` has none, and torch's
// libraries stay apart from LAMMPS's. Arrays are in shared memory, whose layout `Layout` here and
// `_layout` in lammps_worker.py agree on; messages over a socket are short.

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

using namespace LAMMPS_NS;

namespace {

#if defined(_LIBCPP_VERSION) && defined(__linux__)
// Compiled with another C++ library (zig's) than LAMMPS: its strings are not LAMMPS's. This is how
// the GNU library lays out a string, and the name under which LAMMPS knows the function.
struct GnuString {
  const char *begin;
  size_t size;
  union {
    char inside[16];
    size_t capacity;
  };
  explicit GnuString(const std::string &text) : begin(text.c_str()), size(text.size()),
                                                capacity(text.size()) {}
};
[[noreturn]] void gnu_all(Error *, const GnuString &, int, int, const GnuString &) asm(
    "_ZN9LAMMPS_NS5Error3allERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiiS8_");
[[noreturn]] void gnu_one(Error *, const GnuString &, int, int, const GnuString &) asm(
    "_ZN9LAMMPS_NS5Error3oneERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiiS8_");
[[noreturn]] void stop_all(Error *error, const std::string &text) {
  gnu_all(error, GnuString("painn_ase"), 0, Error::NOLASTLINE, GnuString(text));
}
[[noreturn]] void stop_one(Error *error, const std::string &text) {
  gnu_one(error, GnuString("painn_ase"), 0, Error::NOLASTLINE, GnuString(text));
}
#else
[[noreturn]] void stop_all(Error *error, const std::string &text) {
  error->all("painn_ase", 0, Error::NOLASTLINE, text);
}
[[noreturn]] void stop_one(Error *error, const std::string &text) {
  error->one("painn_ase", 0, Error::NOLASTLINE, text);
}
#endif

enum Ask : int64_t { LOAD = 1, CHECK = 2, EVALUATE = 3, DONE = 4 };
enum Answer : int64_t { OK = 0, FAILED = 1, FILL = 2, ADD = 3, TOTAL = 4 };
constexpr int N_RESPONSES = 9;

struct Message {
  int64_t kind = FAILED;
  std::string body;
};

// Offsets of the arrays in shared memory, in units of eight bytes.
struct Layout {
  size_t types, masses, positions, edges, idx_i, idx_j, energies, gradient, responses, buffer, end;
  Layout(size_t n_atoms, size_t n_edges, size_t width) {
    size_t at = 0;
    auto next = [&at](size_t n) { size_t here = at; at += n; return here; };
    types = next(n_atoms);
    masses = next(n_atoms);
    positions = next(3 * n_atoms);
    edges = next(3 * n_edges);
    idx_i = next(n_edges);
    idx_j = next(n_edges);
    energies = next(n_atoms);
    gradient = next(3 * n_edges);
    responses = next(N_RESPONSES);
    buffer = next(width * n_atoms);
    end = at;
  }
};

// The Python process of this rank, and the memory shared with it.
class Worker {
 public:
  int64_t *words = nullptr;
  double *numbers = nullptr;

  ~Worker() {
    if (words) munmap(words, size_);
    if (socket_ >= 0) close(socket_);  // it reads the end of its messages and ends
    if (memory_ >= 0) close(memory_);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
  }

  bool start() {
    if (pid_ > 0) return true;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return false;
    socket_ = high(pair[0]);
    int theirs = high(pair[1]);
    memory_ = high(anonymous_file());
    if (socket_ < 0 || theirs < 0 || memory_ < 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 2, 1);
    posix_spawn_file_actions_adddup2(&actions, theirs, 3);
    posix_spawn_file_actions_adddup2(&actions, memory_, 4);
    const char *arguments[] = {
        PAINN_PYTHON, "-c",
        "import sys; sys.path[0] = sys.argv[1]\n"
        "from painn_ase.engines.lammps_worker import main; main()",
        PAINN_ROOT, nullptr};
    int failed = posix_spawn(&pid_, PAINN_PYTHON, &actions, nullptr,
                             const_cast<char *const *>(arguments), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(theirs);
    if (failed) pid_ = -1;
    return !failed;
  }

  bool send(int64_t kind, const void *body, size_t n) {
    int64_t head[2] = {kind, (int64_t) n};
    return write_all(head, sizeof head) && write_all(body, n);
  }
  bool send(int64_t kind, const std::string &body) { return send(kind, body.data(), body.size()); }

  Message receive() {
    Message message;
    int64_t head[2];
    if (!read_all(head, sizeof head)) return gone();
    message.kind = head[0];
    message.body.resize(head[1]);
    return read_all(&message.body[0], head[1]) ? message : gone();
  }

  Message ask(int64_t kind, const std::string &body) {
    if (!start()) return {FAILED, std::string("cannot start ") + PAINN_PYTHON + ", with which this "
                          "plugin was built. Remove the plugin and build it again"};
    return send(kind, body) ? receive() : gone();
  }

  bool reserve(size_t n_words) {
    size_t wanted = n_words * 8;
    if (words && wanted <= size_) return true;
    if (words) munmap(words, size_);
    size_ = wanted + wanted / 32 * 8 + 4096;
    words = nullptr;
    if (ftruncate(memory_, size_)) return false;
    void *at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    if (at == MAP_FAILED) return false;
    words = (int64_t *) at;
    numbers = (double *) at;
    return true;
  }
  size_t size() const { return size_; }

  static Message gone() {
    return {FAILED, "the Python process of this rank has ended; what it said stands above"};
  }

 private:
  pid_t pid_ = -1;
  int socket_ = -1, memory_ = -1;
  size_t size_ = 0;

  // Beyond the numbers that the child's ends get, and closed in every child by itself.
  static int high(int descriptor) {
    if (descriptor < 0) return -1;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
    close(descriptor);
    return moved;
  }

  static int anonymous_file() {
#ifdef __linux__
    return memfd_create("painn_ase", 0);
#else
    const char *folder = getenv("TMPDIR");
    std::string name = std::string(folder ? folder : "/tmp") + "/painn_ase_XXXXXX";
    int descriptor = mkstemp(&name[0]);
    if (descriptor >= 0) unlink(name.c_str());
    return descriptor;
#endif
  }

  bool write_all(const void *from, size_t n) {
#ifdef MSG_NOSIGNAL
    const int flags = MSG_NOSIGNAL;
#else
    const int flags = 0;
#endif
    const char *at = (const char *) from;
    while (n) {
      ssize_t done = ::send(socket_, at, n, flags);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      at += done;
      n -= done;
    }
    return true;
  }

  bool read_all(void *into, size_t n) {
    char *at = (char *) into;
    while (n) {
      ssize_t done = ::recv(socket_, at, n, 0);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      at += done;
      n -= done;
    }
    return true;
  }
};

// Starting Python takes seconds: the next pair style of this program has what the last one leaves.
std::unique_ptr<Worker> idle;

class PairPainnAse : public Pair {
 public:
  explicit PairPainnAse(LAMMPS *lmp) : Pair(lmp), kept_(std::move(idle)) {
    if (!kept_) kept_.reset(new Worker);
    single_enable = 0;
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    centroidstressflag = CENTROID_NOTAVAIL;
    no_virial_fdotr_compute = 1;  // pairs give the virial, also each atom's
    nextra = N_RESPONSES;
    pvector = new double[N_RESPONSES]();
  }

  ~PairPainnAse() override {
    idle = std::move(kept_);
    delete[] pvector;
    if (allocated) {
      memory->destroy(setflag);
      memory->destroy(cutsq);
    }
  }

  // Options are read by the Python side, so that it alone knows them.
  void settings(int n, char **arguments) override { settings_.assign(arguments, arguments + n); }

  void coeff(int n, char **arguments) override {
    if (n < 2 || strcmp(arguments[0], "*") || strcmp(arguments[1], "*"))
      stop_all(error, "SpecError: one model is for all atoms: pair_coeff * * MODEL ELEMENT ..., an "
                      "element for each type. Models are not mixed");
    std::string text = placed() + '\0' + std::to_string(atom->ntypes) + '\0' +
        std::to_string(settings_.size());
    for (const auto &word : settings_) text += '\0' + word;
    for (int k = 2; k < n; k++) text += std::string(1, '\0') + arguments[k];
    Message answer = kept_->ask(LOAD, text);
    agree(answer);
    long long identity = 0;
    sscanf(answer.body.c_str(), "%lf %d %d %lld", &cutoff_, &width_, &nextra, &identity);
    long long bounds[2] = {identity, -identity}, all[2];
    MPI_Allreduce(bounds, all, 2, MPI_LONG_LONG, MPI_MAX, world);
    if (all[0] != -all[1])
      stop_all(error, std::string("ModelFileError: ranks read different models as ") +
               (n > 2 ? arguments[2] : "") + ". Put one file where every machine sees it");
    comm_forward = comm_reverse = width_;
    int types = atom->ntypes;
    if (!allocated) {
      allocated = 1;
      memory->create(setflag, types + 1, types + 1, "pair:setflag");
      memory->create(cutsq, types + 1, types + 1, "pair:cutsq");
    }
    for (int i = 1; i <= types; i++)
      for (int j = 1; j <= types; j++) setflag[i][j] = 1;
  }

  void init_style() override {
    if (strcmp(update->unit_style, "metal"))
      stop_all(error, std::string("UnitError: pair style painn_ase is in eV and Angstrom: put "
               "'units metal' into the input, which has 'units ") + update->unit_style + "'");
    if (!force->newton_pair)
      stop_all(error, "SpecError: pair style painn_ase needs 'newton on': forces of ghosts go back "
                      "to their owners");
    if (atom->molecular && (force->special_lj[1] != 1 || force->special_lj[2] != 1 ||
                            force->special_lj[3] != 1))
      stop_all(error, "SpecError: bonds leave neighbours out of the pairs a model needs. Put "
                      "'special_bonds lj/coul 1 1 1' into the input, or use atom_style atomic");
    std::string text;
    for (int k = 0; k < 3; k++) text += domain->periodicity[k] ? "1 " : "0 ";
    for (int k = 1; k <= atom->ntypes; k++)
      text += std::to_string(atom->mass && atom->mass_setflag[k] ? atom->mass[k] : 0.0) + ' ';
    agree(kept_->ask(CHECK, text));
    // hybrid styles took the widths of their parts before the model was known
    force->pair->comm_forward = MAX(force->pair->comm_forward, width_);
    force->pair->comm_reverse = MAX(force->pair->comm_reverse, width_);
    neighbor->add_request(this, NeighConst::REQ_FULL);
  }

  double init_one(int, int) override { return cutoff_; }

  void compute(int eflag, int vflag) override {
    ev_init(eflag, vflag);
    const size_t n_owned = atom->nlocal, n_atoms = n_owned + atom->nghost;
    find_pairs();
    const size_t n_edges = i_.size();
    Layout at(n_atoms, n_edges, width_);
    if (!kept_->reserve(at.end)) stop_one(error, "no memory to share with the Python process");
    int64_t *words = kept_->words;
    double *numbers = kept_->numbers;
    for (size_t i = 0; i < n_atoms; i++) {
      words[at.types + i] = atom->type[i];
      numbers[at.masses + i] = atom->rmass ? atom->rmass[i] : atom->mass[atom->type[i]];
    }
    if (n_atoms) memcpy(numbers + at.positions, atom->x[0], 24 * n_atoms);
    if (n_edges) {
      memcpy(numbers + at.edges, r_.data(), 24 * n_edges);
      memcpy(words + at.idx_i, i_.data(), 8 * n_edges);
      memcpy(words + at.idx_j, j_.data(), 8 * n_edges);
    }
    // dipole and polarizability where somebody will look: steps on which energies are tallied
    const int64_t wanted[5] = {(int64_t) n_owned, (int64_t) n_atoms, (int64_t) n_edges,
                               eflag_global ? 1 : 0, (int64_t) kept_->size()};
    if (!kept_->send(EVALUATE, wanted, sizeof wanted)) stop_one(error, kept_->gone().body);
    serve(numbers + at.buffer);
    hand_over(at, n_owned, n_edges);
  }

  int pack_forward_comm(int n, int *list, double *to, int, int *) override {
    for (int i = 0; i < n; i++, to += row_) memcpy(to, buffer_ + (size_t) list[i] * row_, 8 * row_);
    return n * (int) row_;
  }
  void unpack_forward_comm(int n, int first, double *from) override {
    memcpy(buffer_ + (size_t) first * row_, from, 8 * row_ * n);
  }
  int pack_reverse_comm(int n, int first, double *to) override {
    memcpy(to, buffer_ + (size_t) first * row_, 8 * row_ * n);
    return n * (int) row_;
  }
  void unpack_reverse_comm(int n, int *list, double *from) override {
    for (int i = 0; i < n; i++)
      for (size_t k = 0; k < row_; k++) buffer_[(size_t) list[i] * row_ + k] += *from++;
  }

 private:
  std::unique_ptr<Worker> kept_;
  std::vector<std::string> settings_;
  double cutoff_ = 0;
  int width_ = 0;  // of the widest exchange, numbers per atom
  std::vector<int64_t> i_, j_;
  std::vector<double> r_;
  double *buffer_ = nullptr;
  size_t row_ = 0;

  // Which of the machine's ranks this is, and how many there are.
  std::string placed() {
    MPI_Comm machine;
    int rank, size;
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
    MPI_Comm_rank(machine, &rank);
    MPI_Comm_size(machine, &size);
    MPI_Comm_free(&machine);
    return std::to_string(rank) + '\0' + std::to_string(size);
  }

  // Where a rank has failed all stop, with the message of the first of them.
  void agree(const Message &answer) {
    int failed = answer.kind == OK ? INT_MAX : comm->me, first;
    MPI_Allreduce(&failed, &first, 1, MPI_INT, MPI_MIN, world);
    if (first == INT_MAX) return;
    int n = (int) answer.body.size();
    MPI_Bcast(&n, 1, MPI_INT, first, world);
    std::string text = answer.body;
    text.resize(n);
    MPI_Bcast(&text[0], n, MPI_CHAR, first, world);
    stop_all(error, text);
  }

  // Pairs within the cutoff, centres being this rank's own atoms.
  void find_pairs() {
    i_.clear();
    j_.clear();
    r_.clear();
    const double limit = cutoff_ * cutoff_;
    double **x = atom->x;
    for (int ii = 0; ii < list->inum; ii++) {
      const int i = list->ilist[ii];
      const int *neighbors = list->firstneigh[i];
      for (int jj = 0; jj < list->numneigh[i]; jj++) {
        const int j = neighbors[jj] & NEIGHMASK;
        const double dx = x[j][0] - x[i][0], dy = x[j][1] - x[i][1], dz = x[j][2] - x[i][2];
        if (dx * dx + dy * dy + dz * dz >= limit) continue;
        i_.push_back(i);
        j_.push_back(j);
        r_.insert(r_.end(), {dx, dy, dz});
      }
    }
  }

  // What the Python process needs of the other ranks, until it has its answer.
  void serve(double *buffer) {
    for (;;) {
      Message message = kept_->receive();
      if (message.kind == OK) return;
      if (message.kind == FAILED) stop_one(error, message.body);
      if (message.kind == TOTAL) {
        std::string sums = message.body;
        MPI_Allreduce(&message.body[0], &sums[0], (int) (sums.size() / 8), MPI_DOUBLE, MPI_SUM,
                      world);
        if (!kept_->send(DONE, sums)) stop_one(error, kept_->gone().body);
        continue;
      }
      buffer_ = buffer;
      row_ = atoi(message.body.c_str());
      if (message.kind == FILL) comm->forward_comm(this, (int) row_);
      if (message.kind == ADD) comm->reverse_comm(this, (int) row_);
      if (!kept_->send(DONE, "")) stop_one(error, kept_->gone().body);
    }
  }

  // Energies, forces, virials and responses to where LAMMPS looks for them.
  void hand_over(const Layout &at, size_t n_owned, size_t n_edges) {
    const double *numbers = kept_->numbers;
    const double *energies = numbers + at.energies, *gradient = numbers + at.gradient;
    if (eflag_global)
      for (size_t i = 0; i < n_owned; i++) eng_vdwl += energies[i];
    if (eflag_atom)
      for (size_t i = 0; i < n_owned; i++) eatom[i] += energies[i];
    for (int k = 0; k < N_RESPONSES; k++) pvector[k] = numbers[at.responses + k];
    for (size_t e = 0; e < n_edges; e++) {
      double *fi = atom->f[i_[e]], *fj = atom->f[j_[e]];
      const double *g = gradient + 3 * e, *r = &r_[3 * e];
      for (int k = 0; k < 3; k++) {
        fi[k] += g[k];
        fj[k] -= g[k];
      }
      if (!vflag_either) continue;
      const double v[6] = {-r[0] * g[0], -r[1] * g[1], -r[2] * g[2],
                           -0.5 * (r[0] * g[1] + r[1] * g[0]), -0.5 * (r[0] * g[2] + r[2] * g[0]),
                           -0.5 * (r[1] * g[2] + r[2] * g[1])};
      if (vflag_global)
        for (int k = 0; k < 6; k++) virial[k] += v[k];
      if (vflag_atom)
        for (int k = 0; k < 6; k++) {
          vatom[i_[e]][k] += 0.5 * v[k];
          vatom[j_[e]][k] += 0.5 * v[k];
        }
    }
  }
};

Pair *create(LAMMPS *lmp) { return new PairPainnAse(lmp); }

// As LAMMPS's lammpsplugin.h has it, which its package does not hold.
struct Registration {
  const char *version, *style, *name, *info, *author;
  union {
    Pair *(*pair)(LAMMPS *);
    void *(*other)(LAMMPS *, int, char **);
  } creator;
  void *handle;
};

}  // namespace

extern "C" void lammpsplugin_init(void *instance, void *handle, void *regfunc) {
  auto lmp = (LAMMPS *) instance;
  if (lmp->num_ver != PAINN_LAMMPS)
    stop_all(lmp->error, "MissingDependencyError: this painn_ase plugin was built for LAMMPS " +
             std::to_string(PAINN_LAMMPS) + ", and this is " + std::to_string(lmp->num_ver) +
             ". Load the one for this version: python -m painn_ase.engines.lammps says where it is");
  Registration plugin;
  plugin.version = lmp->version;
  plugin.style = "pair";
  plugin.name = "painn_ase";
  plugin.info = "painn_ase models";
  plugin.author = "the painn_ase developers";
  plugin.creator.pair = &create;
  plugin.handle = handle;
  ((void (*)(Registration *, void *)) regfunc)(&plugin, instance);
}
