"""The PropertySurface record: a dipole or polarizability as a function of normal coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from painn_ase.errors import DataError

__all__ = ["PropertySurface"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PropertySurface:
    """Derivatives of a property along dimensionless normal coordinates q, at the minimum.

    The last axes are the property's own: (3,) of a dipole in e Å, (3, 3) of a polarizability in Å³.

    Attributes
    ----------
    slopes : ndarray (n_modes, …)
        ∂P/∂q_i.
    curvatures : ndarray (n_modes, n_modes, …) or None
        ∂²P/∂q_i∂q_j, symmetric; None counts as zero.
    thirds : ndarray (n_modes, n_modes, …) or None
        ∂³P/∂q_i²∂q_j at [i, j], all that second order needs; None counts as zero.
    """

    slopes: Array
    curvatures: Array | None = None
    thirds: Array | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.slopes)
        for name in ("slopes", "curvatures", "thirds"):
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            wanted = shape if name == "slopes" else (*shape[:1], *shape)
            if array.shape != wanted or array.ndim < 2 or not np.isfinite(array).all():
                raise DataError(f"{name} of a property must be finite and {wanted}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.curvatures is not None:
            skew = np.abs(self.curvatures - self.curvatures.swapaxes(0, 1))
            if skew.max(initial=0.0) > 1e-8 * max(np.abs(self.curvatures).max(initial=0.0), 1.0):
                raise DataError("curvatures must not depend on the order of their two modes")

    def of_modes(self, kept: NDArray[np.intp]) -> PropertySurface:
        """The same of some of the modes alone."""
        square = np.ix_(kept, kept)
        return PropertySurface(
            self.slopes[kept],
            None if self.curvatures is None else self.curvatures[square],
            None if self.thirds is None else self.thirds[square],
        )

    def flat(self) -> tuple[Array, Array, Array]:
        """Slopes (n, k), curvatures (n, n, k) and thirds (n, n, k) over k components."""
        n = len(self.slopes)
        slopes = self.slopes.reshape(n, -1)
        none = np.zeros((n, *slopes.shape))
        curvatures = none if self.curvatures is None else self.curvatures.reshape(none.shape)
        return slopes, curvatures, none if self.thirds is None else self.thirds.reshape(none.shape)
