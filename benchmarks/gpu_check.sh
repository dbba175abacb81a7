#!/usr/bin/env bash
# What a machine with a CUDA device can check, and others cannot: the tests marked `gpu`, and the
# step benchmark on the device. JSON goes to benchmarks/results/ (or to the folder in $1).
#
#   python -m pip install -e '.[test]'        with a torch that was built for CUDA
#   bash benchmarks/gpu_check.sh
#
# SCHNETPACK_PYTHON names the interpreter of SchNetPack's environment (benchmarks/README.md); without
# it only painn_ase is measured. PYTHON chooses ours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
results=${1:-benchmarks/results}
mkdir -p "$results"

"$python" - <<'PYTHON'
import sys

import torch

if not torch.cuda.is_available():
    sys.exit(f"no CUDA device: torch {torch.__version__} finds none. Run this on a GPU machine.")
print(torch.cuda.get_device_name(), "with torch", torch.__version__)
PYTHON

"$python" -m pytest -m gpu --junit-xml="$results/gpu_tests.xml" || failed=$?
# 5: there are no such tests; as bad as a failure here
"$python" benchmarks/md_step.py --device cuda --output "$results/md_step_cuda_1t.json" \
    ${SCHNETPACK_PYTHON:+--schnetpack-python "$SCHNETPACK_PYTHON"}
exit "${failed:-0}"
