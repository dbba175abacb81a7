"""The models shipped in the package, found by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from painn_ase.errors import ModelFileError

__all__ = ["bundled_models", "find_model"]


def bundled_models() -> dict[str, Path]:
    """Paths of the models shipped with this package, by name."""
    folder = Path(str(files("painn_ase.models"))) / "bundled"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_model(model: str | Path) -> Path:
    """Path of a model file: an existing path first, then the name of a bundled model.

    Raises
    ------
    ModelFileError
        If there is neither.
    """
    path = Path(model)
    if path.is_file():
        return path
    shipped = bundled_models()
    if str(model) in shipped:
        return shipped[str(model)]
    raise ModelFileError(
        f"there is no model file {str(model)!r}, and no bundled model of that name. Bundled: "
        f"{', '.join(shipped) or 'none'}. Give the path of a .safetensors file written by "
        "painn_ase, or convert another program's model first (painn-ase convert --help)."
    )
