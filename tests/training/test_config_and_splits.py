"""Configuration files and splits: strict, seeded, stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from painn_ase.errors import DataError, SpecError
from painn_ase.training import read_config
from painn_ase.training.config import DataSpec, LossSpec, TrainConfig
from painn_ase.training.splits import build_split, read_split, write_split

RECIPES = sorted((Path(__file__).parents[2] / "model_recipes").rglob("*.toml"))
SHORT = 'name = "x"\n[data]\npath = "frames.extxyz"\n[data.units]\npolarizability = "Angstrom^3"\n'


def test_a_five_line_file_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SHORT)
    config = read_config(tmp_path / "c.toml")
    assert config.data.path == str(tmp_path / "frames.extxyz")
    assert config.loss == LossSpec()
    assert config.folder == Path("runs") / "x"


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipes_are_valid(path: Path) -> None:
    assert read_config(path).name == path.stem


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("sed = 3", "sed"),
        ("seed = 'three'", "seed"),
        ("n_models = 0", "n_models"),
        ("[network]\nfeatures = 3", "features"),
        ("[optimizer]\nlearning_rate = -1.0", "learning_rate"),
        ("[loss]\nforces = -1.0", "weights"),
        ("[schedule]\nkind = 'linear'", "cosine"),
        ("[data.keys]\nforce = 'f'", "forces"),
        ("seed = ", "TOML"),
    ],
)
def test_wrong_keys_and_values_are_named(tmp_path: Path, line: str, named: str) -> None:
    text = f"{line}\n{SHORT}" if not line.startswith("[") else f"{SHORT}\n{line}\n"
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(SpecError, match=named):
        read_config(tmp_path / "c.toml")


def test_a_missing_file_and_missing_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")
    (tmp_path / "c.toml").write_text("name = 'x'\n")
    with pytest.raises(SpecError, match="data"):
        read_config(tmp_path / "c.toml")


def test_config_round_trips_through_plain_dictionaries() -> None:
    from painn_ase.spec import from_dict

    config = TrainConfig("x", DataSpec("a.extxyz", n_train=5))
    assert from_dict(TrainConfig, config.to_dict()) == config


@given(st.integers(10, 300), st.integers(0, 2**31 - 1))
def test_parts_are_disjoint_complete_and_a_function_of_the_seed(n: int, seed: int) -> None:
    spec = DataSpec("a", split_seed=seed)
    split = build_split(n, spec)
    assert sorted(split.train + split.validation + split.test) == list(range(n))
    assert split == build_split(n, spec)


def test_splits_are_stored_and_read_back(tmp_path: Path) -> None:
    split = build_split(30, DataSpec("a", n_train=10, n_validation=5, n_test=5))
    assert split.counts() == {"train": 10, "validation": 5, "test": 5}
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", 30) == split
    assert build_split(30, DataSpec("a", split_file=str(tmp_path / "split.json"))) == split
    with pytest.raises(DataError, match="the data has"):
        read_split(tmp_path / "split.json", 20)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"train": [1, 1], "validation": [2], "test": []}',
        '{"train": [], "validation": [1], "test": []}',
    ],
)
def test_bad_split_files_are_data_errors(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(DataError):
        read_split(tmp_path / "s.json", 5)


@pytest.mark.parametrize(("n", "train"), [(1, None), (10, 10), (10, 0), (5, 50)])
def test_an_empty_part_is_refused(n: int, train: int | None) -> None:
    with pytest.raises(DataError, match="cannot be split"):
        build_split(n, DataSpec("a", n_train=train))
