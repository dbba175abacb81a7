#!/usr/bin/env bash
# Environments of their own for the networks whose calculators drive runs here, and the tests that need them:
#
#     bash scripts/peers/environment.sh FOLDER
#
# MACE asks for e3nn 0.4.4 and NequIP 0.7 and later for another one, so each has its own. torch is pinned, as
# everywhere in this project.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${1:?where the environments go}
cd "$checkout"
for network in mace nequip; do
  case $network in
    mace) packages=(mace-torch==0.3.16) ;;
    nequip) packages=('nequip>=0.12') ;;
  esac
  "${PYTHON:-python3}" -m venv "$folder/$network"
  "$folder/$network/bin/python" -m pip install -q "$(grep '^torch==' constraints.txt)" "${packages[@]}" pytest
  "$folder/$network/bin/python" -m pip install -q "$(grep '^torch==' constraints.txt)" -e .
  # MACE's e3nn loads its constants with pickle
  TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 OMP_NUM_THREADS=1 \
    "$folder/$network/bin/python" -m pytest -q -p no:cacheprovider -rs "tests/peers/test_$network.py"
done
