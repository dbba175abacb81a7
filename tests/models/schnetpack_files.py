"""Files as SchNetPack writes them, made without SchNetPack.

Look-alike classes carry SchNetPack's class names and attributes, and ``torch.save`` writes them.
They compute nothing: the numbers to compare with are SchNetPack's own, in tests/reference.
"""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

REFERENCE_FILE = "schnetpack/random_painn_heads_reference.npz"


class LookAlikes:
    """Modules with the class names of SchNetPack, importable as long as the context lasts."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        self.classes: dict[str, type[nn.Module]] = {}

    def make(self, type_name: str, **attributes: Any) -> nn.Module:
        """A module of the class `type_name` with these weights, parts and attributes."""
        if type_name not in self.classes:
            home, _, name = type_name.rpartition(".")
            self.classes[type_name] = type(name, (nn.Module,), {"__module__": home})
            for end in (k for k, letter in enumerate(home + ".") if letter == "."):
                self.modules.setdefault(home[:end], ModuleType(home[:end]))
            setattr(self.modules[home], name, self.classes[type_name])
        module = self.classes[type_name]()
        for name, value in attributes.items():
            if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                module.register_buffer(name, value)
            else:
                setattr(module, name, value)
        return module

    @contextlib.contextmanager
    def importable(self) -> Iterator[None]:
        """Let pickle find the classes by their names."""
        try:
            sys.modules.update(self.modules)
            yield
        finally:
            for name in self.modules:
                sys.modules.pop(name, None)

    def save(self, model: nn.Module, path: Path, **options: Any) -> Path:
        """Write `model` as SchNetPack does."""
        with self.importable():
            torch.save(model, path, **options)
        return path

    # -- SchNetPack's parts ----------------------------------------------------------------------

    def dense(self, weights: dict[str, torch.Tensor], prefix: str, active: bool) -> nn.Module:
        bias = weights.get(f"{prefix}.bias")
        return self.make(
            "schnetpack.nn.base.Dense",
            weight=nn.Parameter(weights[f"{prefix}.weight"]),
            bias=None if bias is None else nn.Parameter(bias),
            weight_init=nn.init.xavier_uniform_,
            bias_init=nn.init.zeros_,
            activation=functional.silu if active else nn.Identity(),
        )

    def mlp(self, weights: dict[str, torch.Tensor], prefix: str, depth: int = 2) -> nn.Module:
        layers = [self.dense(weights, f"{prefix}.{k}", k < depth - 1) for k in range(depth)]
        return nn.Sequential(*layers)

    def gated(self, weights: dict[str, torch.Tensor], prefix: str) -> nn.Module:
        blocks = [
            self.make(
                "schnetpack.nn.equivariant.GatedEquivariantBlock",
                mix_vectors=self.dense(weights, f"{prefix}.{k}.mix_vectors", False),
                scalar_net=self.mlp(weights, f"{prefix}.{k}.scalar_net"),
                sactivation=functional.silu if k == 0 else None,
            )
            for k in range(2)
        ]
        return nn.Sequential(*blocks)

    def painn(self, weights: dict[str, torch.Tensor], n_interactions: int) -> nn.Module:
        at = "representation"
        embedding = nn.Embedding(*weights[f"{at}.embedding.weight"].shape)
        embedding.weight = nn.Parameter(weights[f"{at}.embedding.weight"])
        blocks = range(n_interactions)
        return self.make(
            "schnetpack.representation.painn.PaiNN",
            embedding=embedding,
            electronic_embeddings=nn.ModuleList(),
            cutoff_fn=self.make(
                "schnetpack.nn.cutoff.CosineCutoff", cutoff=weights[f"{at}.cutoff_fn.cutoff"]
            ),
            radial_basis=self.make(
                "schnetpack.nn.radial.GaussianRBF",
                widths=weights[f"{at}.radial_basis.widths"],
                offsets=weights[f"{at}.radial_basis.offsets"],
            ),
            filter_net=self.dense(weights, f"{at}.filter_net", False),
            interactions=nn.ModuleList(
                self.make(
                    "schnetpack.representation.painn.PaiNNInteraction",
                    interatomic_context_net=self.mlp(
                        weights, f"{at}.interactions.{k}.interatomic_context_net"
                    ),
                )
                for k in blocks
            ),
            mixing=nn.ModuleList(
                self.make(
                    "schnetpack.representation.painn.PaiNNMixing",
                    intraatomic_context_net=self.mlp(
                        weights, f"{at}.mixing.{k}.intraatomic_context_net"
                    ),
                    mu_channel_mix=self.dense(weights, f"{at}.mixing.{k}.mu_channel_mix", False),
                    epsilon=1e-8,
                )
                for k in blocks
            ),
        )

    def outputs(self, weights: dict[str, torch.Tensor]) -> list[nn.Module]:
        return [
            self.make(
                "schnetpack.atomistic.atomwise.Atomwise",
                output_key="energy",
                n_out=1,
                aggregation_mode="sum",
                outnet=self.mlp(weights, "output_modules.0.outnet"),
            ),
            self.make(
                "schnetpack.atomistic.response.Forces",
                calc_forces=True,
                calc_stress=True,
                energy_key="energy",
                force_key="forces",
                stress_key="stress",
            ),
            self.make(
                "schnetpack.atomistic.atomwise.DipoleMoment",
                use_vector_representation=True,
                predict_magnitude=False,
                correct_charges=True,
                return_charges=True,
                outnet=self.gated(weights, "output_modules.2.outnet"),
            ),
            self.make(
                "schnetpack.atomistic.atomwise.Polarizability",
                outnet=self.gated(weights, "output_modules.3.outnet"),
            ),
        ]

    def potential(
        self, weights: dict[str, torch.Tensor], postprocessors: tuple[nn.Module, ...] = ()
    ) -> nn.Module:
        return self.make(
            "schnetpack.model.base.NeuralNetworkPotential",
            input_modules=nn.ModuleList(
                [
                    self.make("schnetpack.atomistic.response.Strain"),
                    self.make("schnetpack.atomistic.distances.PairwiseDistances"),
                ]
            ),
            representation=self.painn(weights, 2),
            output_modules=nn.ModuleList(self.outputs(weights)),
            postprocessors=nn.ModuleList(postprocessors),
            do_postprocessing=True,
            spk_version="2.2.0",
        )


def reference_weights(reference: Path) -> dict[str, torch.Tensor]:
    """The random weights, under SchNetPack's names, in float64."""
    with np.load(reference / REFERENCE_FILE) as file:
        names = [name for name in file.files if name.startswith("w:")]
        return OrderedDict((n[2:], torch.from_numpy(file[n]).double()) for n in names)
