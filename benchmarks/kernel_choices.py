"""Measures what the fused kernel's design rests on: matrix products and filter tables.

    python benchmarks/kernel_choices.py

Prints one JSON record a line and writes them to results/kernel_choices.json. Needs g++ or clang++
(CXX). Best times: the machine's capability is asked for, not its load.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import cython_blas

HERE = Path(__file__).parent


def best_seconds(work: Callable[[], Any], repeats: int = 300) -> float:
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return float(best)


def scipy_sgemm() -> Callable[..., None]:
    """SciPy's sgemm as a C function; Fortran order, every argument by address."""
    capsule = cython_blas.__pyx_capi__["sgemm"]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    address = pointer(capsule, name(capsule))
    return ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 13)(address)


def library_products() -> list[dict[str, Any]]:
    sgemm = scipy_sgemm()
    records = []
    for m in (9, 27, 192, 576):
        for n in (128, 384):
            k = 128
            a, b = torch.randn(m, k), torch.randn(k, n)
            out = torch.empty(m, n)
            x, y, z = (t.numpy() for t in (a, b, out))
            # Row-major C = A·B is column-major C^T = B^T·A^T.
            one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
            no = ctypes.c_char(b"N")
            sizes = [ctypes.c_int(v) for v in (n, m, k, n, k, n)]
            p = [ctypes.addressof(v) for v in (no, one, zero, *sizes)]
            arguments = (
                *(p[0], p[0], p[3], p[4], p[5], p[1], y.ctypes.data, p[6]),
                *(x.ctypes.data, p[7], p[2], z.ctypes.data, p[8]),
            )
            for name, work in (
                ("torch.mm", lambda a=a, b=b, out=out: torch.mm(a, b, out=out)),
                ("scipy sgemm pointer", lambda arguments=arguments: sgemm(*arguments)),
            ):
                rate = 2e-9 * m * n * k / best_seconds(work)
                records.append({"library": name, "product": [m, k, n], "gflops": round(rate, 1)})
    return records


def own_products_and_filters() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "kernel_choices"
        flags = ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"]
        source = HERE / "kernel_choices.cpp"
        command = [os.environ.get("CXX", "g++"), *flags, str(source), "-o", str(program)]
        subprocess.run(command, check=True)
        out = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return [{"library": "own", **json.loads(line)} for line in out.splitlines()]


def main() -> None:
    torch.set_num_threads(1)
    records = library_products() + own_products_and_filters()
    for record in records:
        print(json.dumps(record))
    target = HERE / "results" / "kernel_choices.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"machine": platform.processor(), "records": records}, indent=1))


if __name__ == "__main__":
    main()
