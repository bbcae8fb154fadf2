"""The instruments: each stream composed from the layers below, and the registry that finds them."""
