"""Model files: one ``name.safetensors`` that knows everything, and the models shipped with us."""

from painn_ase.models.catalog import bundled_committees, bundled_models
from painn_ase.models.file import load_model, read_model_spec, save_model

__all__ = ["bundled_committees", "bundled_models", "load_model", "read_model_spec", "save_model"]
