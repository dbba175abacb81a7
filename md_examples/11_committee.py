# %% [markdown]
# # A committee says where it guesses
#
# Several models trained from different seeds agree where they saw data and disagree elsewhere.
# Two small ones are trained here for seconds; `painn-ase train water.toml --n-models 4` makes
# real ones.

# %%
from pathlib import Path

from ase.build import molecule
from ase.io import read, write

from painn_ase import PaiNNCalculator
from painn_ase.training import read_config, train

source = Path(__file__).parents[1] / "model_recipes" / "data" / "water.extxyz"
write("few.extxyz", read(source, index="0:600:10"))
models = []
for seed in (0, 1):
    Path("water.toml").write_text(
        f"""
name = "member_{seed}"
seed = {seed}
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
epochs = 25
warmup_steps = 10
validate_every = 25
checkpoint_every = 25
[runtime]
threads = 1
progress = false
compile = "never"
"""
    )
    models.append(train(read_config("water.toml")))

# %% [markdown]
# A list of models is a committee: results are means, with the spread beside them.

# %%
water = molecule("H2O")
water.calc = PaiNNCalculator(models)
spreads = {}
for stretch in (1.0, 1.1, 1.5):
    water.set_distance(0, 1, stretch * 0.9686, fix=0)
    water.get_potential_energy()
    spreads[stretch] = water.calc.results["energy_std"]
    print(f"O–H × {stretch:.1f}: committee spread {1e3 * spreads[stretch]:7.1f} meV")

# %% [markdown]
# `ExtrapolationGuard(max_spread=…)` watches this during a run, and stops it if told to.
