"""What reports say in words of a run: how it was made, and what it leaves wrong."""

from __future__ import annotations

from painn_ase.workflow.records import SpectrumConfig

__all__ = ["caveats", "how_modes_were_made", "what_was_run"]

#: What each way to move the nuclei leaves wrong; the figures are those of water at 300 K.
_NUCLEI = {
    "classical": "Nuclei are classical: no zero-point motion, so X–H stretches come out too high "
    "and too narrow by what anharmonicity at zero point would shift and mix.",
    "trpmd": "Thermostatted ring-polymer dynamics is approximate: its thermostat broadens every "
    "band, by over 100 cm⁻¹ in a stretch, and lines are off by some 10 cm⁻¹ (water: bend 9 low, "
    "stretches 11 to 35 high). Band areas hold; line positions of a small molecule are a task for "
    "perturbation theory.",
    "rpmd": "Ring-polymer dynamics is approximate: where a spring of the ring comes near a "
    "vibration the band splits or moves (water: stretches 60 to 100 cm⁻¹ high), and such "
    "resonances change with the number of beads. Compare with another number, or with trpmd.",
}
_RAMAN = (
    "Raman needs a polarizability trained on reference data with diffuse functions; without them "
    "cross sections are too small by up to a factor of two."
)
_MODES = "The normal modes are those of one conformer; the dynamics visits whatever it can reach."
_ERRORS = "The error bars are statistical; the model's own error comes on top of them."


def caveats(config: SpectrumConfig, *, raman: bool, modes: bool) -> tuple[str, ...]:
    """Sentences on what a run of these settings leaves wrong."""
    lines = [_NUCLEI[config.nuclei]]
    lines += [_RAMAN] if raman else []
    lines += [_MODES] if modes else []
    return (*lines, _ERRORS)


def what_was_run(config: SpectrumConfig, n_beads: int, fwhm: float | None, driver: str = "") -> str:
    """A paragraph for the methods section of a paper."""
    turning = "kept" if config.rotation else "removed"
    kind, beads = "NVE segments", ""
    if config.nuclei != "classical":
        kind = f"{config.nuclei.upper()} segments of {n_beads} beads"
        beads = f" and {config.bead_equilibration:g} ps of path-integral dynamics of all beads"
    text = (
        f"{config.replicas} {kind} of {config.segment:g} ps (time step {config.timestep:g} fs, "
        f"frequencies corrected for velocity Verlet), started every {config.spacing:g} ps from "
        f"Langevin dynamics at {config.temperature:g} K (friction {config.friction:g}/fs, "
        f"{config.equilibration:g} ps of equilibration, seed {config.seed}){beads}. The motion of "
        f"the centre of mass was removed, the overall rotation {turning}. Intensities are "
        "absolute, from the fluxes dμ/dt and dα/dt by automatic differentiation; the shaded band "
        "is two standard errors over the segments."
    )
    if driver:
        text += f" Energies and forces are those of {driver}; the model gave the fluxes alone."
    if fwhm is not None:
        text += f" A sharp line is {fwhm:.1f} cm⁻¹ wide (full width, Hann window)."
    return text


def how_modes_were_made(driver: str, responses: bool) -> str:
    """The same of a harmonic analysis; `responses` are a model's beside the `driver`."""
    if not driver:
        return (
            "Harmonic frequencies of the relaxed structure; infrared intensities and Raman "
            "activities from derivatives of dipole and polarizability, all by automatic "
            "differentiation in double precision."
        )
    text = (
        f"Harmonic frequencies of the structure relaxed with {driver}, from its own Hessian where "
        "it gives one, else from central differences of its forces (0.005 Å); infrared intensities "
        "and Raman activities from derivatives of dipole and polarizability"
    )
    if responses:
        return f"{text} of the model, by automatic differentiation in double precision."
    return f"{text} as far as it gives them, by the same differences."
