"""ZTF alerts: packets to records, records to the arrays that a model takes."""

from __future__ import annotations

from fulgor.preprocessing.ztf.alert import ZtfAlert, ZtfDecoder
from fulgor.preprocessing.ztf.features import FEATURE_NAMES
from fulgor.preprocessing.ztf.flags import ZtfFlag
from fulgor.preprocessing.ztf.lightcurve import SEQUENCE_COLUMNS
from fulgor.preprocessing.ztf.prepare import Prepared, prepare
from fulgor.preprocessing.ztf.recipe import ALERCE, DEFAULT, STAMP_SIZE, Recipe

__all__ = [
    "ALERCE",
    "DEFAULT",
    "FEATURE_NAMES",
    "SEQUENCE_COLUMNS",
    "STAMP_SIZE",
    "Prepared",
    "Recipe",
    "ZtfAlert",
    "ZtfDecoder",
    "ZtfFlag",
    "prepare",
]
