"""ASE finds the calculator by its entry point, and loses nothing where its interface is another."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points

import pytest

from painn_ase.calculator import PaiNNCalculator


def test_ase_knows_the_calculator_by_name() -> None:
    plugins = pytest.importorskip("ase._4.plugins")
    (entry,) = [e for e in entry_points(group="ase.plugins") if e.name == "painn_ase"]
    assert entry.value == "painn_ase.ase_plugin"
    found = {plugin.name: plugin for plugin in plugins.PluginCollection.from_entry_points()}
    assert found["painn"].implementation is PaiNNCalculator
    assert found["painn"].package == "painn_ase"


def test_without_the_interface_nothing_is_registered_and_nothing_fails(monkeypatch) -> None:
    import painn_ase.ase_plugin as plugin

    monkeypatch.setitem(sys.modules, "ase._4.plugins.plugin", None)
    try:
        assert importlib.reload(plugin).__ase_plugins__ == frozenset()
    finally:
        monkeypatch.undo()
        importlib.reload(plugin)
