"""A simulator of ZTF alerts from physics: scenes, point spread functions, noise, light curves, cadence.

::

    from fulgor.replay.simulate.ztf import encode, simulate

    for alert in simulate(count=1000, seed=1):
        print(alert.label, alert.record["objectId"], alert.jd)

How it compares with real alerts is told in docs/simulator.md.
"""

from fulgor.replay.simulate.ztf.night import DEFAULT_MIX, DEFAULT_NIGHTS, DEFAULT_START, SimulatedAlert, simulate
from fulgor.replay.simulate.ztf.objects import CLASSES
from fulgor.replay.simulate.ztf.schema import ALERT_SCHEMA
from fulgor.replay.simulate.ztf.writer import encode, write_archive

__all__ = [
    "ALERT_SCHEMA",
    "CLASSES",
    "DEFAULT_MIX",
    "DEFAULT_NIGHTS",
    "DEFAULT_START",
    "SimulatedAlert",
    "encode",
    "simulate",
    "write_archive",
]
