"""Anomaly scores: one module each, and the suite that fits, keeps and serves them together.

Those of the network's own graph (reconstruction, sequence, distance) live with their decoders and in
:mod:`~fulgor.models.scores.distance`; the others are fitted on its latents once it is trained, and
are served in numpy: importing them costs no torch.
"""
