"""setuptools as the build back end, which asks for a compiler where the machine has none."""

from __future__ import annotations

from typing import Any

from painn_kernel import build_requirement
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

_Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """Packages that building a wheel needs."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *build_requirement()]


def get_requires_for_build_editable(config_settings: _Settings = None) -> list[str]:
    """Packages that an editable installation needs."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *build_requirement()]
