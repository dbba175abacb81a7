"""SchNet's weights as the compiled kernel takes them."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from painn_ase.kernels.packing import KernelNetwork, as_array, layer_weights, packs
from painn_ase.nn.schnet import FilterConvolution, SchNet
from painn_ase.potential import AtomisticPotential
from painn_ase.spec import SchNetSpec

__all__ = ["SchNetWeights"]

FloatArray: TypeAlias = NDArray[np.float64]


@packs(SchNetSpec)
class SchNetWeights(KernelNetwork):
    """Energy, forces and stress of every SchNet; its other heads are eager's."""

    number = 1

    @classmethod
    def tensors(cls, potential: AtomisticPotential) -> list[FloatArray]:
        """See :meth:`.KernelNetwork.tensors`."""
        net = cast(SchNet, potential.representation)
        found: list[Any] = [net.embedding.weight]
        for k in range(net.spec.n_interactions):
            block = cast(FilterConvolution, net.interactions[k % len(net.interactions)])
            found += [block.carry.weight, *layer_weights(block.filter)]
            found += layer_weights(block.update)
        return [as_array(t) for t in found]

    @classmethod
    def fields(cls, potential: AtomisticPotential) -> dict[str, Any]:
        """Width of the convolution."""
        spec = cast(SchNetSpec, potential.spec.representation)
        return {"n_filters": spec.n_filters or spec.n_features}
