// The library's entry points: chooses the instruction set, owns memory, threads and locks.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(PAINN_X86) && defined(__GNUC__)
#include <cpuid.h>
#endif
#include "abi.h"

namespace {

// Zeroed memory at a multiple of 64 bytes. From calloc, so that pages nobody writes cost nothing:
// each thread has rows for all atoms and touches those near its pairs. The block's own address
// stands before what is handed out.
void* allocate(size_t bytes) {
  constexpr size_t line = 64;
  char* block = static_cast<char*>(std::calloc(bytes + 2 * line, 1));
  if (!block) return nullptr;
  const uintptr_t start = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
  char* out = reinterpret_cast<char*>((start + line - 1) / line * line);
  std::memcpy(out - sizeof(void*), &block, sizeof(void*));
  return out;
}
void release(void* p) {
  if (!p) return;
  void* block;
  std::memcpy(&block, static_cast<char*>(p) - sizeof(void*), sizeof(void*));
  std::free(block);
}
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t process_id() {
#if defined(_WIN32)
  return 0;
#else
  return getpid();
#endif
}

void relax() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_ia32_pause();
#endif
}

// A step's threads. They sleep between steps; inside a step they wait for each other a short while
// awake (stages are tens of microseconds) and then sleep, so that an oversubscribed machine is not
// kept busy by waiting.
class Team {
 public:
  explicit Team(int n) : n_(n), process_(process_id()) {
    try {
      for (int t = 1; t < n; t++) threads_.emplace_back([this, t] { serve(t); });
    } catch (const std::system_error&) {
      n_ = static_cast<int>(threads_.size()) + 1;  // the system gave fewer threads than asked
    }
  }
  ~Team() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      step_++;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  int size() const { return n_; }
  bool mine() const { return process_ == process_id(); }
  // After fork() the threads exist in the parent only: forget them without joining.
  void abandon() {
    for (std::thread& t : threads_) t.detach();
    threads_.clear();
  }

  void run(const PainnKernel* kernel, void* model, const PainnTask* task) {
    team_ = PainnTeam{n_, &Team::wait_for_all, this};
    kernel_ = kernel;
    model_ = model;
    task_ = task;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      step_++;
    }
    wake_.notify_all();
    kernel->run(model, task, &team_, 0);
    barrier();
  }

 private:
  static constexpr int spins = 2000;

  void serve(int thread) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return step_ != seen; });
        seen = step_;
        if (stop_) return;
      }
      kernel_->run(model_, task_, &team_, thread);
      barrier();
    }
  }
  static void wait_for_all(void* self) { static_cast<Team*>(self)->barrier(); }
  void barrier() {
    const uint32_t phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_) {
      arrived_.store(0, std::memory_order_relaxed);
      {
        std::lock_guard<std::mutex> lock(barrier_mutex_);
        phase_.store(phase + 1, std::memory_order_release);
      }
      barrier_open_.notify_all();
      return;
    }
    for (int k = 0; k < spins; k++) {
      if (phase_.load(std::memory_order_acquire) != phase) return;
      relax();
    }
    std::unique_lock<std::mutex> lock(barrier_mutex_);
    barrier_open_.wait(lock, [&] { return phase_.load(std::memory_order_acquire) != phase; });
  }

  int n_;
  int64_t process_;
  std::vector<std::thread> threads_;
  std::mutex mutex_, barrier_mutex_;
  std::condition_variable wake_, barrier_open_;
  uint64_t step_ = 0;
  bool stop_ = false;
  std::atomic<uint32_t> phase_{0};
  std::atomic<int> arrived_{0};
  PainnTeam team_{};
  const PainnKernel* kernel_ = nullptr;
  void* model_ = nullptr;
  const PainnTask* task_ = nullptr;
};

struct Handle {
  const PainnKernel* kernel = nullptr;
  void* model = nullptr;
  std::mutex mutex;  // one step at a time per model: its workspace is shared
  std::unique_ptr<Team> team;

  ~Handle() {
    forget_team();
    if (model) kernel->destroy(model);
  }
  void forget_team() {
    if (team && !team->mine()) {
      team->abandon();
      (void)team.release();  // its mutexes may be held by a thread that no longer exists
    }
    team.reset();
  }
  Team* threads(int n) {
    if (n < 2) return nullptr;
    if (!team || !team->mine() || team->size() != n) {
      forget_team();
      team = std::make_unique<Team>(n);
    }
    return team.get();
  }
};

enum Isa { portable = 0, avx2 = 1, avx512 = 2 };

#if defined(PAINN_X86) && defined(__GNUC__)
// What the CPU has and the operating system saves, by Intel's manual (vol. 2A, CPUID; vol. 1, 13.3).
// __builtin_cpu_supports would say it in a word, but zig's run-time library answers 0 to all of it.
struct Features {
  bool avx2 = false, avx512 = false;
  Features() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    const bool fma = c & (1u << 12), xsave = c & (1u << 27);
    if (!fma || !xsave) return;
    unsigned saved, high;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    const unsigned ymm = 0x6, zmm = 0xe6;  // parts of the state that are saved: XCR0
    avx2 = (b & (1u << 5)) && (saved & ymm) == ymm;
    const unsigned f_dq_bw_vl = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);
    avx512 = avx2 && (b & f_dq_bw_vl) == f_dq_bw_vl && (saved & zmm) == zmm;
  }
};
#endif

bool supported(int isa) {
  if (isa == portable) return true;
#if defined(PAINN_X86) && defined(__GNUC__)
  static const Features cpu;
  if (isa == avx2) return cpu.avx2;
  if (isa == avx512) return cpu.avx512;
#endif
  return false;
}

// The kernel of a model's network; null for a network that this library does not know.
const PainnKernel* kernel_for(int isa, const PainnModel& model) {
  using Find = const PainnKernel* (*)(bool single);
  struct Network {
    int32_t number;
    Find portable, avx2, avx512;
  };
  static const Network networks[] = {
#if defined(PAINN_X86) && defined(__GNUC__)
      {PAINN_NETWORK_PAINN, painn::portable_kernel, painn::avx2_kernel, painn::avx512_kernel},
      {PAINN_NETWORK_SCHNET, painn::portable_schnet, painn::avx2_schnet, painn::avx512_schnet},
#else
      {PAINN_NETWORK_PAINN, painn::portable_kernel, nullptr, nullptr},
      {PAINN_NETWORK_SCHNET, painn::portable_schnet, nullptr, nullptr},
#endif
  };
  for (const Network& n : networks)
    if (n.number == model.network)
      return (isa == avx512 ? n.avx512 : isa == avx2 ? n.avx2 : n.portable)(model.single != 0);
  return nullptr;
}

}  // namespace

PAINN_EXPORT int painn_abi_version() { return PAINN_ABI_VERSION; }

// What compiled this library, for `painn-ase info`.
PAINN_EXPORT const char* painn_compiler() {
#if defined(__clang__)
  return __VERSION__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#elif defined(_MSC_VER)
  return "Microsoft C++";
#else
  return "an unnamed compiler";
#endif
}

// Whether this CPU and this build can run an instruction set (0 portable, 1 AVX2, 2 AVX-512).
PAINN_EXPORT int painn_supports(int isa) { return supported(isa) ? 1 : 0; }

PAINN_EXPORT void* painn_create(const PainnModel* model, int isa) {
  if (!supported(isa)) return nullptr;
  const PainnServices services = {allocate, release, now};
  Handle* h = new (std::nothrow) Handle();
  if (!h) return nullptr;
  h->kernel = kernel_for(isa, *model);
  h->model = h->kernel ? h->kernel->create(model, &services) : nullptr;
  if (!h->model) {
    delete h;
    return nullptr;
  }
  return h;
}

PAINN_EXPORT void painn_destroy(void* handle) { delete static_cast<Handle*>(handle); }

// 0, or 1 when there is not enough memory.
PAINN_EXPORT int painn_compute(void* handle, const PainnTask* task, int n_threads) {
  Handle* h = static_cast<Handle*>(handle);
  std::lock_guard<std::mutex> lock(h->mutex);
  if (n_threads > task->n_atoms) n_threads = task->n_atoms;
  Team* team = nullptr;
  try {
    team = h->threads(n_threads);
  } catch (const std::bad_alloc&) {
    return 1;
  }
  if (h->kernel->prepare(h->model, task, team ? team->size() : 1)) return 1;
  if (team) {
    team->run(h->kernel, h->model, task);
    return 0;
  }
  const PainnTeam alone = {1, nullptr, nullptr};
  h->kernel->run(h->model, task, &alone, 0);
  return 0;
}
