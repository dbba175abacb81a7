"""Adapters that run a model inside other programs: one file an engine, each an optional extra.

An adapter is thin: what it evaluates is `painn_ase.potential`'s core or the checked call around it.
Nothing is imported here, so that a missing engine costs nobody anything.
"""
