"""The night's picture: the strangest alerts are read back from the topic, by the offsets in their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fulgor.consumer.kafkaadmin import Cluster
from fulgor.demo.results import NightRows, StoredAlert
from fulgor.errors import MalformedError, SettingsError
from fulgor.plots.files import write_figure
from fulgor.plots.night import NightPicture, night_picture
from fulgor.plots.stamps import Card, Stamps
from fulgor.plots.style import looks
from fulgor.plots.ztf import alert_curve, alert_stamps
from fulgor.preprocessing.ztf import ZtfAlert, ZtfDecoder
from fulgor.replay.lookup import MessageFinder

__all__ = ["CARDS", "draw_night", "make_folder"]

CARDS = 6
_BANDS = {1: "g", 2: "r", 3: "i"}


def make_folder(folder: Path) -> None:
    """Make the folder for the results, before any time is spent on them.

    Raises
    ------
    SettingsError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out {folder}: cannot be made: {error.strerror}") from error


def draw_night(
    rows: NightRows,
    names: Sequence[str],
    truth: Mapping[str, str],
    cluster: Cluster,
    path: Path,
    *,
    heading: str,
    subheading: str,
) -> None:
    """Draw and write the picture.

    Parameters
    ----------
    rows : NightRows
        All scored rows.
    names : sequence of str
        The model's classes in their order.
    truth : mapping of str to str
        Simulated class by alert id.
    cluster : Cluster
        Where the messages still lie.
    path : Path
        The PNG file.
    heading, subheading : str
        Above the picture.

    Raises
    ------
    DiskFullError, SettingsError
        The file cannot be written.
    """
    strangest = rows.strangest(CARDS)
    chosen = [rows.alerts[index] for index in strangest]
    packets = _packets(chosen, cluster)
    shown = _most_told(chosen, packets)
    night = NightPicture(
        heading=heading,
        subheading=subheading,
        latents=rows.latents,
        classes=[alert.class_name for alert in rows.alerts],
        names=names,
        anomaly=np.array([alert.anomaly for alert in rows.alerts]),
        strangest=strangest,
        cards=_cards(chosen, packets, names, truth),
        curve=alert_curve(packets[shown.alert]) if shown else None,
        curve_heading=f"Light curve of {shown.object} ({chosen.index(shown) + 1})" if shown else "",
    )
    write_figure(night_picture(night), path)


def _packets(alerts: Sequence[StoredAlert], cluster: Cluster) -> dict[str, ZtfAlert]:
    """Return the packets behind rows; a message of ours holds one alert."""
    values = MessageFinder(cluster).find(alert.place for alert in alerts)
    decoder = ZtfDecoder()
    found: dict[str, ZtfAlert] = {}
    for value in values.values():
        for alert in decoder(value):
            if not isinstance(alert, MalformedError):
                found[str(alert.candid)] = alert
    return found


def _most_told(alerts: Sequence[StoredAlert], packets: Mapping[str, ZtfAlert]) -> StoredAlert | None:
    """Return the alert whose packet has the longest light curve; None where no packet is left."""
    told = [alert for alert in alerts if alert.alert in packets]
    return max(told, key=lambda alert: int(np.isfinite(packets[alert.alert].history["magpsf"]).sum()), default=None)


def _cards(
    alerts: Sequence[StoredAlert], packets: Mapping[str, ZtfAlert], names: Sequence[str], truth: Mapping[str, str]
) -> list[Card]:
    colours = {name: look.colour for name, look in looks(names).items()}
    absent = Stamps(None, None, None)
    return [
        Card(
            alert_stamps(packets[alert.alert]) if alert.alert in packets else absent,
            f"{number}  {alert.object}",
            _lines(alert, truth[alert.alert]),
            colours[alert.class_name],
        )
        for number, alert in enumerate(alerts, 1)
    ]


def _lines(alert: StoredAlert, truth: str) -> list[str]:
    lines = [f"{alert.class_name}  (p = {alert.probability:.2f})", f"anomaly {alert.anomaly:.4f}"]
    if alert.magnitude is not None:
        lines.append(f"{_BANDS.get(alert.fid, '?')} = {alert.magnitude:.1f} mag")
    return [*lines, f"simulated as {truth}"]
