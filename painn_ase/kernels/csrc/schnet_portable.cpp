// The SchNet kernel for one instruction set; see setup.py for the compiler's options.
#include <new>

#include "schnet.h"

const PainnKernel* painn::portable_schnet(bool single) {
  return single ? schnet_table<float>() : schnet_table<double>();
}
