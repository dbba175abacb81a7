"""``python -m painn_ase`` is ``painn-ase``."""

from __future__ import annotations

from painn_ase.cli import main

if __name__ == "__main__":
    main()
