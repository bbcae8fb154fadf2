"""Quality flags of a ZTF alert; the values are stored, so a bit is never given another meaning."""

from __future__ import annotations

from enum import IntFlag

__all__ = ["ZtfFlag"]


class ZtfFlag(IntFlag):
    """What is odd about an alert. Zero means nothing is."""

    MISSING_STAMP = 1 << 0
    """At least one of the three stamps is absent."""
    DAMAGED_STAMP = 1 << 1
    """A stamp cannot be read: gzip or FITS damage."""
    JPEG_STAMP = 1 << 2
    """A stamp is a JPEG image (commissioning, 2016 to 2018), which holds no fluxes."""
    RAW_FITS = 1 << 3
    """A stamp came without gzip, so without a checksum."""
    EDGE_CUT = 1 << 4
    """A stamp was cut at the edge of the detector; the missing part is masked."""
    EDGE_SIDE_GUESSED = 1 << 5
    """The stamp was cut, but the alert's position does not tell on which side: the brighter one was taken."""
    ODD_SHAPE = 1 << 6
    """A stamp is larger than the survey's 63 pixels, or the three differ in shape."""
    NAN_PIXELS = 1 << 7
    """A stamp holds pixels without a value; they are masked."""
    CONSTANT_STAMP = 1 << 8
    """All valid pixels of a stamp are equal; it is given as zeros."""
    ALL_MASKED = 1 << 9
    """A stamp has no valid pixel."""
    NO_HISTORY = 1 << 10
    """The alert carries no earlier detection or limit."""
    ONLY_LIMITS = 1 << 11
    """The history holds non-detections only."""
    FUTURE_HISTORY = 1 << 12
    """The history held entries later than the alert; they were left out."""
    DUPLICATE_HISTORY = 1 << 13
    """The history held several entries of one exposure; one was kept of each."""
    HISTORY_CUT = 1 << 14
    """The history was longer than the sequence; the latest entries were kept."""
    BAD_PHOTOMETRY = 1 << 15
    """The alert itself has no valid magnitude or error."""
    NO_TEMPLATE = 1 << 16
    """The template stamp is unusable; science and difference were scored without it."""
