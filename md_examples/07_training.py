# %% [markdown]
# # From labelled frames to a model
#
# Sixty frames of one water molecule with energies, forces, dipoles and polarizabilities, and a
# small network trained for seconds: enough to see every step, not enough for a good model. The
# recipes in `model_recipes/` are the same with more frames and patience.

# %%
from pathlib import Path

from ase.build import molecule
from ase.io import read, write

from painn_ase import PaiNNCalculator
from painn_ase.training import check_frames, label_table, read_config, read_frames, train

source = Path(__file__).parents[1] / "model_recipes" / "data" / "water.extxyz"
write("few.extxyz", read(source, index="0:600:10"))

# %% [markdown]
# A configuration names the data and the units that the file does not say. Everything else has a
# default; a misspelt key is an error that lists the keys there are.

# %%
Path("water.toml").write_text(
    """
name = "small_water"
[data]
path = "few.extxyz"
n_train = 48
n_validation = 6
[data.units]
polarizability = "Angstrom^3"
[network]
n_features = 16
n_interactions = 2
cutoff = 4.0
[optimizer]
learning_rate = 5e-3
ema_decay = 0.9
[schedule]
epochs = 30
warmup_steps = 10
validate_every = 10
checkpoint_every = 30
[runtime]
threads = 1
progress = false
compile = "never"
"""
)
config = read_config("water.toml")

# %% [markdown]
# `painn-ase data` checks labels before anything is trained: signs, units, outliers, duplicates.

# %%
frames = read_frames(config.data.path, config.data.keys, config.data.units)
for row in label_table(frames):
    print(
        f"{row.quantity:15s}{row.n_frames} frames, {row.lowest:.4g} … {row.highest:.4g} {row.unit}"
    )
for finding in check_frames(frames):
    print(f"{finding.level:8s}{finding.check}: {finding.message}")

# %% [markdown]
# `painn-ase train water.toml` does this on the command line. The folder of the run holds the split,
# the learning curve, errors on the test part, parity plots and the model file.

# %%
model = train(config)
print((model.parent / "errors.json").read_text())
print("written:", *sorted(p.name for p in model.parent.iterdir()))

# %%
water = molecule("H2O")
water.calc = PaiNNCalculator(model)
print(f"dipole of the new model: {water.get_dipole_moment().round(3)} e·Å")
