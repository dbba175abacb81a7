"""What ASE is told of this package through the entry point ``ase.plugins``.

ASE's plug-in interface is experimental (ASE 3.29 keeps it in ``ase._4``): where it is not there,
or is another, nothing is registered and nothing fails.
"""

from __future__ import annotations

from typing import Any

__all__ = ["__ase_plugins__"]


def _implementation() -> type[Any]:
    from painn_ase.calculator import PaiNNCalculator

    return PaiNNCalculator


def _plugins() -> frozenset[Any]:
    try:
        from ase._4.plugins.plugin import CalculatorPlugin

        plugin = CalculatorPlugin(
            "painn",
            citation="Schütt, Unke, Gastegger, arXiv:2102.03150",
            implementation=_implementation,
        )
    except Exception:  # whatever a later ASE makes of it: its other calculators must not suffer
        return frozenset()
    return frozenset([plugin])


#: ASE looks for this name.
__ase_plugins__ = _plugins()
