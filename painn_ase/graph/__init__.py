"""From ``Atoms`` to the record a network reads: pairs, skin, batches."""
