"""What is fuzzed: for each reader sound files, how they are altered, how they are read."""

from __future__ import annotations

import json
import pickle
import random
import struct
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from mutate import Mutation, mutate_bytes, mutate_safetensors, mutate_text, mutate_zip

__all__ = ["TARGETS", "Target"]

_TESTS = Path(__file__).resolve().parents[2] / "tests"


@dataclass(frozen=True)
class Target:
    """One reader under test.

    Attributes
    ----------
    suffix : str
        Of the files.
    make : callable
        Writes sound files into a folder and gives their paths.
    mutate : callable
        Sound bytes and a random source → damaged bytes.
    read : callable
        Path → anything; must raise nothing but errors of painn_ase.
    """

    suffix: str
    make: Callable[[Path], list[Path]]
    mutate: Mutation
    read: Callable[[Path], object]


# -- model files -----------------------------------------------------------------------------------


def _models(folder: Path) -> list[Path]:
    from painn_ase.models import save_model
    from painn_ase.testing import random_potential

    heads = (("energy",), ("energy", "dipole", "polarizability"), ("energy", "charges"))
    paths = []
    for n, h in enumerate(heads):
        paths.append(save_model(random_potential(4, 1, 3, heads=h, seed=n), folder / f"{n}.model"))
        bare = folder / f"bare{n}.model"
        bare.write_bytes(_without_checksum(paths[-1].read_bytes()))
        paths += [bare, bare]
    return paths


def _without_checksum(data: bytes) -> bytes:
    """A model file as it was before there were checksums, which notice nearly every change."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["painn_ase"])
    ours.pop("sha256", None)
    header["__metadata__"]["painn_ase"] = json.dumps(ours)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _read_model(path: Path) -> object:
    from painn_ase.models import load_model

    return load_model(path)


# -- SchNetPack ------------------------------------------------------------------------------------


class _Payload:
    """What a hostile pickle holds: a call to be made on loading."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (f"touch {self.target}",)


def _schnetpack(folder: Path) -> list[Path]:
    sys.path.insert(0, str(_TESTS / "models"))
    try:
        from schnetpack_files import LookAlikes, reference_weights
    finally:
        sys.path.pop(0)
    alike = LookAlikes()
    weights = reference_weights(_TESTS / "reference")
    whole = alike.save(alike.potential(weights), folder / "sound.model")
    # One block and few features: most of the file is structure then, and it is read at once.
    few = {k: w[tuple(slice(_FEW.get(n, n)) for n in w.shape)].clone() for k, w in weights.items()}
    small = []
    for name, heads in (("energy", (0, 1)), ("dipole", (0, 2)), ("all", (0, 1, 2, 3))):
        model = alike.potential(few)
        model.representation = alike.painn(few, 1)
        model.output_modules = torch.nn.ModuleList([model.output_modules[k] for k in heads])
        small.append(alike.save(model, folder / f"{name}.model"))
    hostile = folder / "payload.model"
    torch.save({"state": torch.zeros(3), "x": _Payload(folder / "canary")}, hostile)
    bare = folder / "bare.model"
    bare.write_bytes(pickle.dumps(_Payload(folder / "canary")))
    energy, *others = small
    return [whole, *others, *[energy] * 6, hostile, bare]


#: Sizes in the reference weights (32 features, 2 blocks, 12 basis functions) → sizes kept.
_FEW = {12: 3, 16: 2, 17: 3, 32: 4, 48: 6, 64: 8, 96: 12, 192: 12}


def _read_schnetpack(path: Path) -> object:
    from painn_ase.models.schnetpack import load_schnetpack

    return load_schnetpack(
        path,
        energy_unit="eV",
        length_unit="Ang",
        dipole_unit=1.0,
        polarizability_unit=1.0,
        elements=(1, 6, 8),
    )


def _mutate_schnetpack(data: bytes, rng: random.Random) -> bytes:
    if not data.startswith(b"PK"):
        return mutate_bytes(data, rng)
    return mutate_zip(_mutate_pickle)(data, rng)


def _mutate_pickle(data: bytes, rng: random.Random) -> bytes:
    """Names and numbers in a pickle exchanged for others of the same length, or blind changes."""
    if rng.random() < 0.6:
        return mutate_bytes(data, rng)
    names = (
        b"torch._utils", b"_rebuild_tensor_v2", b"collections", b"OrderedDict", b"FloatStorage",
        b"torch.nn.modules.container", b"schnetpack", b"posix", b"system", b"builtins", b"eval",
    )  # fmt: skip
    return data.replace(rng.choice(names), rng.choice(names), rng.choice((1, 1, -1)))


# -- trajectories ----------------------------------------------------------------------------------


def _trajectories(folder: Path) -> list[Path]:
    from painn_ase.trajectory import System, TrajectoryWriter, writer

    water = molecule("H2O")
    paths = []
    channels = (
        {"positions": 1, "dipole": 2},
        {"positions": 1, "velocities": 2, "temperature": 2},
        {"positions": 2, "polarizability": 1, "potential_energy": 1},
    )
    chunk, writer._CHUNK_BYTES = writer._CHUNK_BYTES, 256  # else damage falls into empty space
    for name, replicas, strides in zip("abc", (None, None, 2), channels, strict=True):
        atoms = water.copy()
        if name == "b":
            atoms.set_cell(np.diag([4.0, 5.0, 6.0]))
            atoms.set_pbc(True)
        path = folder / f"{name}.h5"
        copies = replicas or 1
        system = System.of(atoms, replicas)
        with TrajectoryWriter.create(path, system, strides, provenance={"run": 1}) as file:
            rng = np.random.default_rng(0)
            sizes = {"positions": 9, "velocities": 9, "dipole": 3, "polarizability": 9,
                     "potential_energy": 1, "temperature": 1}  # fmt: skip
            for step in range(12):
                values = {n: rng.normal(size=copies * s) for n, s in sizes.items()}
                file.write(step, 0.5 * step, values)
        paths.append(path)
    writer._CHUNK_BYTES = chunk
    return paths


def _read_trajectory(path: Path) -> object:
    from painn_ase.trajectory import TrajectoryReader

    with TrajectoryReader(path) as reader:
        for name in reader.names:
            reader.read(name)
        if "positions" in reader.names and reader.n_frames("positions"):
            return reader.atoms(0)
    return None


def _mutate_hdf5(data: bytes, rng: random.Random) -> bytes:
    """Blind changes, or attributes, types and sizes altered through HDF5 itself."""
    if rng.random() < 0.9:
        return mutate_bytes(data, rng)
    import io

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(rng.choice((1, 2))):
            _alter_hdf5(file, rng)
    return buffer.getvalue()


def _alter_hdf5(file: h5py.File, rng: random.Random) -> None:
    names: list[str] = []
    file.visit(names.append)
    if not names:
        return
    name = rng.choice(names)
    node = file[name]
    kind = rng.randrange(6)
    values = (0, -1, 2**62, np.nan, "x", b"\xff", np.zeros(7), np.int8(-3), [1e400, 2])
    if kind == 0:
        del file[name]
    elif kind == 1 and len(node.attrs):
        node.attrs[rng.choice(list(node.attrs))] = rng.choice(values)
    elif kind == 2 and isinstance(node, h5py.Dataset) and node.maxshape[:1] == (None,):
        if node.shape[0] > 10**6:
            return  # shrinking a giant again, HDF5 would visit every chunk
        node.resize(rng.choice((0, 1, 5, 10**9, 10**15)), axis=0)
    elif kind == 3:
        del file[name]
        file[name] = rng.choice(values)
    elif kind == 4:
        del file[name]
        links = (h5py.SoftLink("/"), h5py.SoftLink("/nowhere"), h5py.SoftLink("/" + name),
                 h5py.ExternalLink("/etc/passwd", "/"))  # fmt: skip
        file[name] = rng.choice(links)
    else:
        del file[name]
        file.create_dataset(name, (10**12,), dtype="f8", chunks=(1000,))


# -- text and arrays -------------------------------------------------------------------------------


def _configs(folder: Path) -> list[Path]:
    recipes = sorted((_TESTS.parent / "model_recipes").glob("*.toml"))
    texts = [path.read_bytes() for path in recipes]
    texts.append(
        b'name = "a"\nseed = 3\nn_models = 2\n[data]\npath = "x.extxyz"\nn_train = 10\n'
        b'[data.units]\npolarizability = "Angstrom^3"\n[data.keys]\nenergy = "E"\n[network]\n'
        b"n_features = 64\ncutoff = 5.0\nfilter_hidden = [3, 4]\n[loss]\nhuber_delta = 1.5\n"
        b"[optimizer]\nlearning_rate = 1e-3\n[schedule]\nkind = 'plateau'\nepochs = 10\n"
        b'[runtime]\ndtype = "float64"\nprogress = false\n'
    )
    paths = []
    for n, text in enumerate(texts):
        paths.append(folder / f"c{n}.toml")
        paths[-1].write_bytes(text)
    return paths


def _read_config(path: Path) -> object:
    from painn_ase.training.config import read_config

    return read_config(path)


def _spectra(suffix: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        from painn_ase.spectra import Spectrum
        from painn_ase.spectra.files import save_spectrum

        x = np.linspace(400.0, 4000.0, 25)
        y = np.exp(-((x - 1600.0) ** 2) / 2e4)
        samples = y * np.linspace(0.9, 1.1, 3)[:, None]
        even = Spectrum.from_samples(
            x, y, samples, unit="km/mol/cm^-1", quantity="absorption", provenance={"T": 300.0}
        )
        uneven = Spectrum(x + 1e-3 * x**1.5, y, unit="arbitrary", quantity="Raman", fwhm=5.0)
        paths = [folder / f"even{suffix}", folder / f"uneven{suffix}"]
        save_spectrum(even, paths[0])
        save_spectrum(uneven, paths[1])
        if suffix == ".jdx":
            paths.append(folder / "packed.jdx")
            paths[-1].write_text(_PACKED, encoding="utf-8")
        if suffix == ".csv":
            paths.append(folder / "plain.csv")
            paths[-1].write_text("wavenumber;intensity\n400;1,5\n401;2\n402.5;3\n", "utf-8")
        return paths

    return make


_PACKED = """##TITLE= packed
##JCAMP-DX= 4.24
##DATA TYPE= INFRARED SPECTRUM
##XUNITS= 1/CM
##YUNITS= ABSORBANCE
##FIRSTX= 100
##LASTX= 104
##XFACTOR= 1
##YFACTOR= 0.5
##NPOINTS= 5
##FIRSTY= 50
##XYDATA= (X++(Y..Y))
100A00J0K0%
103A30T
##END=
"""


def _read_spectrum(path: Path) -> object:
    from painn_ase.spectra.files import load_spectrum

    spectrum = load_spectrum(path)
    if not np.isfinite(spectrum.intensity).all() or not np.isfinite(spectrum.frequency).all():
        raise AssertionError("a spectrum with NaN left the reader")
    return spectrum


def _series_npz(folder: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    arrays = {"dipole": rng.normal(size=(16, 3)), "polarizability": rng.normal(size=(16, 3, 3))}
    np.savez(folder / "a.npz", timestep=0.5, **arrays)
    np.savez_compressed(folder / "b.npz", timestep=0.5, dipole_flux=rng.normal(size=(2, 9, 3)))
    return [folder / "a.npz", folder / "b.npz"]


def _series_text(folder: Path) -> list[Path]:
    rng = np.random.default_rng(2)
    table = np.column_stack([0.5 * np.arange(12), rng.normal(size=(12, 3))])
    np.savetxt(folder / "a.csv", table, delimiter=",", header="t,x,y,z", comments="")
    np.savetxt(folder / "b.csv", rng.normal(size=(12, 9)))
    return [folder / "a.csv", folder / "b.csv"]


def _series_npy(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", np.random.default_rng(3).normal(size=(12, 3)))
    return [folder / "a.npy"]


def _labelled_frames(folder: Path, suffix: str) -> Path:
    rng = np.random.default_rng(4)
    frames = []
    for n in range(3):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=n)
        atoms.calc = SinglePointCalculator(
            atoms, energy=-1.0, forces=rng.normal(size=(3, 3)), dipole=rng.normal(size=3)
        )
        atoms.info["time_fs"] = 0.5 * n
        atoms.info["polarizability"] = rng.normal(size=9)
        frames.append(atoms)
    path = folder / f"frames{suffix}"
    write(path, frames)
    return path


def _extxyz(folder: Path) -> list[Path]:
    return [_labelled_frames(folder, ".extxyz")]


def _ase_traj(folder: Path) -> list[Path]:
    return [_labelled_frames(folder, ".traj")]


def _ase_database(folder: Path) -> list[Path]:
    return [_labelled_frames(folder, ".db")]


def _training_npz(folder: Path) -> list[Path]:
    rng = np.random.default_rng(5)
    np.savez(folder / "md.npz", R=rng.normal(size=(4, 3, 3)), z=np.array([8, 1, 1]),
             E=rng.normal(size=(4, 1)), F=rng.normal(size=(4, 3, 3)))  # fmt: skip
    return [folder / "md.npz"]


def _read_series(path: Path) -> object:
    """As a user would in the end: what a file asks for is said, and nothing besides."""
    from painn_ase.errors import TrajectoryError
    from painn_ase.trajectory import read_time_series
    from painn_ase.trajectory.read import read_raw, series_options

    axes = None
    try:
        raw = read_raw(path, series_options())
    except TrajectoryError as error:
        if "--axes" not in str(error):
            raise
        axes = "runs"
        raw = read_raw(path, series_options(axes=axes))
    wanted = {"dipole": "e*Å", "polarizability": "Å^3"}
    units = {q: u for q, u in wanted.items() if {q, f"{q}_flux"} & set(raw.channels)}
    molecule = True if "dipole" in units else None
    return read_time_series(path, timestep=0.5, units=units, axes=axes, molecule=molecule)


#: Writers of ``known_signal`` whose files are recognised by what they hold.
_FOREIGN = (
    "cp2k_moments", "cp2k_output", "cp2k_total_dipole", "cp2k_positions", "ipi_extras",
    "ipi_properties", "ipi_positions", "orca_positions", "orca_md", "lammps_images",
    "lammps_unwrapped", "lammps_ave_time", "lammps_print", "colvar", "xvg", "gaussian_bomd",
    "qchem_aimd", "nwchem_qmd",
)  # fmt: skip


def _foreign_text(folder: Path) -> list[Path]:
    """The first lines of other programs' text files."""
    sys.path.insert(0, str(_TESTS / "trajectory"))
    try:
        import known_signal
    finally:
        sys.path.pop(0)
    paths = []
    for name in _FOREIGN:
        written = getattr(known_signal, name)(folder)
        lines = written.read_text(encoding="utf-8").splitlines(keepends=True)[:90]
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text("".join(lines), encoding="utf-8")
    outputs = _TESTS / "trajectory/data"
    return [*paths, outputs / "OUTCAR", outputs / "vasprun.xml"]


def _read_foreign(path: Path) -> object:
    from painn_ase.trajectory.formats import read_foreign

    raw = read_foreign(path)
    if raw is not None:
        for name, channel in raw.channels.items():
            if not np.isfinite(channel.values).all():
                raise AssertionError(f"{name} with NaN left the reader")
    return raw


def _label_collections(folder: Path) -> list[Path]:
    """SPICE's layout, one of no name, and our own trajectories."""
    rng = np.random.default_rng(6)
    with h5py.File(folder / "spice.h5", "w") as file:
        for name in ("a", "b"):
            group = file.create_group(name)
            group["atomic_numbers"] = np.array([8, 1, 1])
            group["conformations"] = rng.normal(size=(4, 3, 3))
            group["dft_total_energy"] = rng.normal(size=4)
            group["dft_total_gradient"] = rng.normal(size=(4, 3, 3))
            group["scf_dipole"] = rng.normal(size=(4, 3))
    with h5py.File(folder / "other.h5", "w") as file:
        group = file.create_group("x/y")
        group["z"], group["R"] = np.array([8, 1, 1]), rng.normal(size=(4, 3, 3))
        group["E"] = rng.normal(size=4)
    return [folder / "spice.h5", folder / "other.h5", *_trajectories(folder)]


def _read_labels(path: Path) -> object:
    from painn_ase.training import UnitsSpec, read_frames

    return read_frames(path, units=UnitsSpec(energy="eV", polarizability="Angstrom^3"))


def _states(folder: Path) -> list[Path]:
    from painn_ase.md.state import RunState, write_state

    state = RunState(7, {"random": {"a": 1}, "first_energy": 1.0}, {"positions": np.ones((3, 3))})
    write_state(folder / "run.state.npz", state)
    return [folder / "run.state.npz"]


def _read_state(path: Path) -> object:
    from painn_ase.md.state import read_state

    return read_state(path)


def _quiet(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Without the warnings that damaged numbers provoke in NumPy and ASE."""

    def quietly(path: Path) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(path)

    return quietly


_ARRAYS = mutate_zip(mutate_bytes)
TARGETS: dict[str, Target] = {
    "model": Target(".safetensors", _models, mutate_safetensors, _read_model),
    "schnetpack": Target(".model", _schnetpack, _mutate_schnetpack, _read_schnetpack),
    "trajectory": Target(".h5", _trajectories, _mutate_hdf5, _read_trajectory),
    "config": Target(".toml", _configs, mutate_text, _read_config),
    "jcamp": Target(".jdx", _spectra(".jdx"), mutate_text, _quiet(_read_spectrum)),
    "csv": Target(".csv", _spectra(".csv"), mutate_text, _quiet(_read_spectrum)),
    "spectrum-npz": Target(".npz", _spectra(".npz"), _ARRAYS, _quiet(_read_spectrum)),
    "series-h5": Target(".h5", _trajectories, _mutate_hdf5, _quiet(_read_series)),
    "series-npz": Target(".npz", _series_npz, _ARRAYS, _quiet(_read_series)),
    "series-npy": Target(".npy", _series_npy, mutate_bytes, _quiet(_read_series)),
    "series-csv": Target(".csv", _series_text, mutate_text, _quiet(_read_series)),
    "series-extxyz": Target(".extxyz", _extxyz, mutate_text, _quiet(_read_series)),
    "series-traj": Target(".traj", _ase_traj, mutate_bytes, _quiet(_read_series)),
    "foreign-text": Target(".txt", _foreign_text, mutate_text, _quiet(_read_foreign)),
    "labels-extxyz": Target(".extxyz", _extxyz, mutate_text, _quiet(_read_labels)),
    "labels-npz": Target(".npz", _training_npz, _ARRAYS, _quiet(_read_labels)),
    "labels-h5": Target(".h5", _label_collections, _mutate_hdf5, _quiet(_read_labels)),
    "labels-db": Target(".db", _ase_database, mutate_bytes, _quiet(_read_labels)),
    "restart": Target(".npz", _states, _ARRAYS, _read_state),
}
