"""Prints requirements of setup.cfg for pip, one word each, without installing the package itself.

    python scripts/requirements.py --lowest                    pins to the lowest versions allowed
    python scripts/requirements.py --extras formats oracles    what these extras add

torch is left out of the lowest ones: its oldest releases have no build for the newer Pythons, and
one torch is enough to download.
"""

from __future__ import annotations

import argparse
import configparser
from pathlib import Path


def lowest(config: configparser.ConfigParser) -> list[str]:
    """One ``name==version`` for each requirement of the package and of its tests."""
    lines = config["options"]["install_requires"] + config["options.extras_require"]["test"]
    wanted = (line for line in lines.split("\n") if ";" not in line)
    return [line.replace(">=", "==") for line in wanted if line and not line.startswith("torch")]


def extras(config: configparser.ConfigParser, names: list[str]) -> list[str]:
    """The requirements of some extras."""
    table = config["options.extras_require"]
    return [line for name in names for line in table[name].split("\n") if line]


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--lowest", action="store_true")
    choice.add_argument("--extras", nargs="+")
    arguments = parser.parse_args()
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
    print(*(lowest(config) if arguments.lowest else extras(config, arguments.extras)))


if __name__ == "__main__":
    main()
