"""Quality flags of a LEELA chunk and its pulses; the values are stored, so a bit is never given another meaning."""

from __future__ import annotations

from enum import IntFlag

__all__ = ["LeelaFlag"]


class LeelaFlag(IntFlag):
    """What is odd about a chunk or a pulse. Zero means nothing is."""

    CLIPPED = 1 << 0
    """The receiver says that it clipped, or samples stand at one extreme value in a row."""
    CONSTANT = 1 << 1
    """All samples are equal (zeros, for one): nothing to score."""
    NOT_FINITE = 1 << 2
    """Samples are NaN or infinite: nothing to score."""
    TOO_SHORT = 1 << 3
    """Fewer samples than the filter's guard on both sides: nothing to score."""
    SAMPLING = 1 << 4
    """The sampling interval is not the field's usual one; windows were resampled."""
    TOO_SLOW = 1 << 5
    """The sampling is too slow for the pass band: nothing to score."""
    TIMES_DISAGREE = 1 << 6
    """Start, end, length and interval of the chunk contradict each other."""
    CLOCK = 1 << 7
    """The chunk's own time lies far from the time at which it was received: a clock jumped, or it was kept back."""
    UNKNOWN_NODE = 1 << 8
    """The node is not in the list of nodes that was given."""
    NO_PULSE = 1 << 9
    """No pulse stands out of the noise; the loudest stretch was scored instead."""
    MANY_PULSES = 1 << 10
    """More pulses than are kept; the strongest were."""
    NEAR_EDGE = 1 << 11
    """A peak lies within the guard of the chunk's edge, where the filter does not know the neighbour."""
    WINDOW_CUT = 1 << 12
    """A window reaches beyond the chunk; the missing part is masked."""
    FLOAT_SAMPLES = 1 << 13
    """Samples are not whole numbers: filtered before they were sent (2018), or not ADC counts."""
