"""Networks of others, re-implemented from their published descriptions and trained as ours: same alerts, same folds.

==================  ============================================================================
:mod:`deep_hits`    the stamp classifier of ALeRCE: Deep-HiTS, four rotations, 23 features
:mod:`braai`        the real/bogus classifier of ZTF: VGG6
:mod:`course`       convolutional autoencoder of the stamps, GRU along the light curve
:mod:`sequences`    conv + LSTM along the pictures, and the Temporal Stamp Classifier
:mod:`vade`         clusters without labels: VaDE
:mod:`recurrence`   a recurrent cell along sequences with empty places
:mod:`views`        what they see of alerts, and how pictures are turned in training
:mod:`method`       what trains them, as a method that :mod:`fulgor.models.evaluation` measures
:mod:`clustering`   VaDE as such a method
:mod:`lineup`       which of them are measured, by what they tell apart
==================  ============================================================================
"""
