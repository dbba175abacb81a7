"""Filter pictures show a network's own filters, zero at and beyond the cutoff."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from painn_ase.cli import app
from painn_ase.errors import DataError
from painn_ase.graph import from_ase
from painn_ase.models import save_model
from painn_ase.plotting.filters import draw_filters, plot_filter_cut
from painn_ase.plotting.spectra import new_figure
from painn_ase.testing import random_atoms, random_potential

COLUMNS = {"painn": 3, "schnet": 8, "so3net": 3}


def potential(kind: str):
    return random_potential(12, 2, 6, 4.0, kind=kind, dtype=torch.float64)


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_block_has_its_row(kind: str) -> None:
    figure = draw_filters(potential(kind))
    assert len(figure.axes) == 2 * COLUMNS[kind]
    first = figure.axes[0]
    assert first.get_ylabel().startswith("block 1")
    assert figure.axes[-1].get_xlabel() == ("x / Å" if kind == "schnet" else "distance / Å")
    image = first.images[0]
    assert image.norm.vmin == -image.norm.vmax  # white is zero


@pytest.mark.parametrize("kind", COLUMNS)
def test_filters_vanish_at_the_cutoff_whatever_the_biases(kind: str) -> None:
    distances = torch.tensor([1.0, 3.9999, 4.0, 5.0], dtype=torch.float64)
    for block in potential(kind).representation.radial_filters(distances):
        for filters in block.values():
            assert filters.shape == (4, 12)
            assert bool((filters[0].abs() > 1e-3).any())
            assert float(filters[1].abs().max()) < 1e-6
            assert float(filters[2:].abs().max()) == 0.0


def test_schnets_filter_is_what_its_convolution_multiplies_with() -> None:
    """One block with the identity before and after gives x + MLP(Σ_j x_j ∘ w(d_ij))."""
    model = potential("schnet").representation
    atoms = random_atoms(4, elements=(6,))
    graph = from_ase(atoms, 4.0)
    vectors = graph.positions[graph.idx_j] - graph.positions[graph.idx_i]
    block = model.interactions[0]
    (filters,) = model.radial_filters(vectors.norm(dim=1))[0].values()
    x = model.embedding(torch.full((4,), 1))
    received = torch.zeros_like(x)
    for i, j, w in zip(graph.idx_i, graph.idx_j, filters, strict=True):
        received[i] += block.carry(x[j]) * w
    basis = model.radial_basis(vectors.norm(dim=1))
    cutoff = model.cutoff_function(vectors.norm(dim=1), 4.0).unsqueeze(-1)
    out = block(x, basis, cutoff, graph.idx_i, graph.idx_j, "torch")
    torch.testing.assert_close(out, x + block.update(received))


def test_a_cut_is_the_filter_of_the_distance_from_the_centre() -> None:
    ax = new_figure(1)[0].axes[0]
    distances = np.linspace(0.5, 4.0, 50)
    plot_filter_cut(ax, distances, 4.0 - distances)
    cut = np.ma.getdata(ax.images[0].get_array())
    middle = len(cut) // 2
    assert np.isnan(cut[middle, middle])
    assert cut[middle, middle + 40] == pytest.approx(4.0 - 2.0)  # 40 pixels of 0.05 Å
    assert cut[middle + 24, middle + 32] == pytest.approx(4.0 - 2.0)
    assert cut[0, 0] == 0.0


def test_the_command_draws_a_model_and_refuses_what_says_nothing_about_one(tmp_path: Path) -> None:
    model = save_model(potential("schnet"), tmp_path / "model.safetensors")
    picture = tmp_path / "filters.png"
    command = ["plot", str(model), "--filters", "-o", str(picture)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size > 5000
    refused = CliRunner().invoke(app, [*command, "--overwrite", "--target", "300"])
    assert isinstance(refused.exception, DataError)
    assert "--target" in str(refused.exception)
