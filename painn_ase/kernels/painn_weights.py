"""PaiNN's weights as the compiled kernel takes them."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from painn_ase.kernels.packing import KernelNetwork, as_array, layer_weights, packs
from painn_ase.nn.painn import Mixing, PaiNN
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import PaiNNSpec

__all__ = ["PaiNNWeights"]

FloatArray: TypeAlias = NDArray[np.float64]


@packs(PaiNNSpec)
class PaiNNWeights(KernelNetwork):
    """Linear filters; heads of gated stacks."""

    number = 0
    gives_responses = True

    @classmethod
    def why_not(cls, potential: AtomisticPotential) -> str | None:
        """Hidden layers of the filter and dipoles of point charges are eager's."""
        dipole = potential.spec.heads.dipole
        if dipole is not None and dipole.kind == "point_charge":
            return "the fused kernel has no dipole of point charges."
        if cast(PaiNNSpec, potential.spec.representation).filter_hidden:
            return "the fused kernel knows linear filters only, this model's have hidden layers."
        return None

    @classmethod
    def tensors(cls, potential: AtomisticPotential) -> list[FloatArray]:
        """See :meth:`.KernelNetwork.tensors`."""
        net = cast(PaiNN, potential.representation)
        blocks = range(net.spec.n_interactions)
        found: list[Any] = [net.embedding.weight]
        for k in blocks:
            found += layer_weights(net.filters[k % len(net.filters)])
        for k in blocks:
            mixing = cast(Mixing, net.mixings[k % len(net.mixings)])
            interaction: Any = net.interactions[k % len(net.interactions)]
            found += layer_weights(interaction.context)
            found += [mixing.vector_mix.weight, *layer_weights(mixing.context)]
        return [as_array(t) for t in found]

    @classmethod
    def fields(cls, potential: AtomisticPotential) -> dict[str, Any]:
        """The constant inside the vector norm."""
        return {"epsilon": cast(PaiNNSpec, potential.spec.representation).epsilon}
