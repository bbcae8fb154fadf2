"""Networks of others, re-implemented from their published descriptions and trained as ours: same alerts, same folds.

=================  ==========================================================================
:mod:`deep_hits`   the stamp classifier of ALeRCE: Deep-HiTS, four rotations, 23 features
:mod:`braai`       the real/bogus classifier of ZTF: VGG6
:mod:`method`      what trains them, as a method that :mod:`fulgor.models.evaluation` measures
=================  ==========================================================================
"""
