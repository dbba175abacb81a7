// The kernel for one instruction set; see setup.py for the compiler's options.
#include <new>

#include "kernel.h"

const PainnKernel* painn::portable_kernel(bool single) {
  return single ? kernel_table<float>() : kernel_table<double>();
}
