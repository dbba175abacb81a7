"""The models shipped in the package, found by name; committees of several files under one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from painn_ase.errors import ModelFileError

__all__ = ["bundled_committees", "bundled_models", "find_model", "find_models"]


def _folder() -> Path:
    return Path(str(files("painn_ase.models"))) / "bundled"


def bundled_models() -> dict[str, Path]:
    """Paths of the models of one file shipped with this package, by name."""
    return {path.stem: path for path in sorted(_folder().glob("*.safetensors"))}


def bundled_committees() -> dict[str, list[Path]]:
    """Paths of the members of each committee shipped with this package, by its name."""
    found = {path.name: _members(path) for path in sorted(_folder().iterdir()) if path.is_dir()}
    return {name: members for name, members in found.items() if members}


def find_model(model: str | Path) -> Path:
    """Path of one model's file: an existing path first, then the name of a bundled model.

    Raises
    ------
    ModelFileError
        If there is neither, or a committee of that name.
    """
    found = find_models(model)
    if len(found) > 1:
        raise ModelFileError(
            f"{str(model)!r} is a committee of {len(found)} models, and one is needed here. Name "
            f"one of its files: {', '.join(str(path) for path in found)}."
        )
    return found[0]


def find_models(model: str | Path) -> list[Path]:
    """Files of a model: one, or the members of a committee.

    Parameters
    ----------
    model : str or Path
        A model file; a folder with one file a member, at any depth; or the name of a bundled model
        or committee. What exists goes before what is bundled.

    Raises
    ------
    ModelFileError
        If there is none of these.
    """
    path = Path(model)
    if path.is_file():
        return [path]
    if path.is_dir() and (members := _members(path)):
        return members
    single, several = bundled_models(), bundled_committees()
    if str(model) in single:
        return [single[str(model)]]
    if str(model) in several:
        return several[str(model)]
    raise ModelFileError(
        f"there is no model file {str(model)!r}, and no bundled model of that name. Bundled: "
        f"{', '.join([*single, *several]) or 'none'}. Give the path of a .safetensors file written "
        "by painn_ase, of a folder of such files for a committee, or convert another program's "
        "model first (painn-ase convert --help)."
    )


def _members(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))
