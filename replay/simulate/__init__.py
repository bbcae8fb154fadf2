"""Simulators, one package per instrument: physics in, messages of the instrument's own shape out."""
