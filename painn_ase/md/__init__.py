"""Molecular dynamics: single runs on ASE's integrators, and batches of replicas."""

from __future__ import annotations

from painn_ase.md.config import MDConfig, RecordConfig
from painn_ase.md.identity import fingerprint
from painn_ase.md.observers import Frame, LogLines, Observer, ProgressBar, Response
from painn_ase.md.replicas import ReplicaConfig, ReplicaResult, run_replicas
from painn_ase.md.ring_averages import QuantumAverages, quantum_averages
from painn_ase.md.runner import MDResult, run_md
from painn_ase.md.saved import SavedRun, load_structure
from painn_ase.md.stop_signals import StopSignals

__all__ = [
    "Frame",
    "LogLines",
    "MDConfig",
    "MDResult",
    "Observer",
    "ProgressBar",
    "QuantumAverages",
    "RecordConfig",
    "ReplicaConfig",
    "ReplicaResult",
    "Response",
    "SavedRun",
    "StopSignals",
    "fingerprint",
    "load_structure",
    "quantum_averages",
    "run_md",
    "run_replicas",
]
