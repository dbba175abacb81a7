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

xml=$(mktemp)
trap 'rm -f "$xml"' EXIT
failed=0
"$python" -m pytest -m gpu --junit-xml="$xml" || failed=$?
"$python" - "$xml" "$results/gpu_tests.json" <<'PYTHON'
import json
import sys
import xml.etree.ElementTree as tree

import torch

suite = tree.parse(sys.argv[1]).getroot().find("testsuite")
report = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
report |= {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
report["date"] = suite.get("timestamp")
report["seconds"] = {
    f"{case.get('classname')}.{case.get('name')}": float(case.get("time"))
    for case in suite.iter("testcase")
}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(report, file, indent=1)
print("written:", sys.argv[2])
PYTHON

"$python" benchmarks/md_step.py --device cuda --output "$results/md_step_cuda_1t.json" \
    ${SCHNETPACK_PYTHON:+--schnetpack-python "$SCHNETPACK_PYTHON"}
"$python" benchmarks/cuda_graph.py --output "$results/cuda_graph.json"
exit "$failed"
