"""Compare simulated ZTF alerts with real ones, quantity by quantity, and print Markdown tables.

    python benchmarks/compare_simulator.py --data ../shared/data --count 2000 --seed 1

Every number is measured the same way on both sides. Real alerts are read, never kept; those of the frozen score
reference are left out.
"""

from __future__ import annotations

import argparse
import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pandas as pd
from astropy.io import fits
from scipy.optimize import OptimizeWarning, curve_fit

from fulgor.models.evaluation.folds import reference_objects
from fulgor.replay.simulate.ztf import CLASSES, DEFAULT_NIGHTS, encode, simulate

STAMPS = {"science": "cutoutScience", "template": "cutoutTemplate", "difference": "cutoutDifference"}
FIELDS = (
    *("magpsf", "sigmapsf", "diffmaglim", "magzpsci", "fwhm", "classtar", "elong", "chipsf", "sky", "magdiff"),
    *("nneg", "sumrat", "scorr", "distnr", "magnr", "chinr", "sharpnr", "sgscore1", "distpsnr1", "sgscore2"),
    *("distpsnr2", "nmtchps", "neargaia", "maggaia", "ndethist", "ncovhist", "rb", "drb", "dsnrms", "ssnrms"),
    *("seeratio", "aimage", "bimage"),
)
PER_CLASS = (
    *("magpsf", "sigmapsf", "sgscore1", "distpsnr1", "classtar", "fwhm", "chinr", "sharpnr", "ndethist"),
    *("history detections", "drb", "chipsf", "nneg", "elong", "science max", "difference max", "difference min"),
)
LOWEST = -1e30


def real_alerts(data: Path) -> Iterator[tuple[dict[str, Any], str, int | None]]:
    """Yield record, label and, for a file of one uncompressed record, the message's size."""
    frozen = reference_objects()
    tables = (("ztf", "labels.csv"), ("ztf_unlabelled", "alerts.csv"))
    for folder, name in tables:
        table = pd.read_csv(data / folder / name)
        for file, rows in table.groupby("file"):
            content = (data / folder / str(file)).read_bytes()
            reader = fastavro.reader(io.BytesIO(content))
            records = list(reader)
            alone = len(records) == 1 and reader.codec == "null"
            for _, row in rows[~rows["objectId"].isin(frozen)].iterrows():
                label = row["label"] if isinstance(row.get("label"), str) else "none"
                yield records[row["rec"]], label, len(content) if alone else None


def simulated_alerts(count: int, seed: int, nights: int) -> Iterator[tuple[dict[str, Any], str, int | None]]:
    for alert in simulate(count, seed, nights=nights):
        yield alert.record, alert.label, len(encode([alert.record]))


def read_stamp(cutout: dict[str, Any]) -> np.ndarray:
    with fits.open(io.BytesIO(gzip.decompress(cutout["stampData"])), ignore_missing_simple=True) as hdus:
        return np.asarray(hdus[0].data, dtype=np.float64)


def _bump(place: tuple[np.ndarray, np.ndarray], height: float, x: float, y: float, sigma: float, base: float) -> Any:
    return height * np.exp(-((place[0] - x) ** 2 + (place[1] - y) ** 2) / (2.0 * sigma**2)) + base


def fitted_fwhm(image: np.ndarray, column: int, row: int, half: int = 5) -> float:
    """Return the FWHM (pixels) of a round Gaussian fitted about a pixel; NaN where it does not fit."""
    part = image[row - half : row + half + 1, column - half : column + half + 1]
    if part.shape != (2 * half + 1,) * 2 or not np.isfinite(part).all():
        return np.nan
    rows, columns = np.mgrid[row - half : row + half + 1, column - half : column + half + 1]
    first = (part.max() - np.median(part), column, row, 1.0, np.median(part))
    try:
        found, _ = curve_fit(_bump, (columns.ravel(), rows.ravel()), part.ravel(), first, maxfev=150)
    except (RuntimeError, OptimizeWarning):
        return np.nan
    sensible = abs(found[1] - column) < 1.5 and abs(found[2] - row) < 1.5 and 0.3 < abs(found[3]) < 4.0
    return 2.3548 * abs(found[3]) if sensible else np.nan


def brightest_star_fwhm(image: np.ndarray, middle: float, noise: float) -> float:
    """Return the width of the brightest source that is neither saturated nor at the border."""
    inner = np.full_like(image, -np.inf)
    inner[7:-7, 7:-7] = np.where(np.isfinite(image), image, -np.inf)[7:-7, 7:-7]
    inner[inner > middle + 8000.0] = -np.inf
    row, column = np.unravel_index(int(np.argmax(inner)), inner.shape)
    if inner[row, column] < middle + 30.0 * noise:
        return np.nan
    return fitted_fwhm(image, int(column), int(row))


def correlation(image: np.ndarray, middle: float, noise: float) -> float:
    """Return the correlation of neighbouring sky pixels along rows."""
    sky = np.where(np.abs(image - middle) < 3.0 * noise, image - middle, np.nan)
    return float(np.nanmean(sky[:, 1:] * sky[:, :-1]) / np.nanmean(sky * sky)) if noise > 0 else np.nan


def stamp_numbers(name: str, image: np.ndarray) -> dict[str, float]:
    unfilled = image < LOWEST
    values = image[np.isfinite(image) & ~unfilled]
    middle = float(np.median(values))
    noise = float(1.4826 * np.median(np.abs(values - middle)))
    return {
        f"{name} median": middle,
        f"{name} max": float(values.max()),
        f"{name} min": float(values.min()),
        f"{name} noise (MAD)": noise,
        f"{name} neighbour correlation": correlation(np.where(unfilled, np.nan, image), middle, noise),
        f"{name} NaN fraction": float(np.isnan(image).mean()),
        f"{name} unfilled": float(unfilled.mean()),
    }


def numbers(record: dict[str, Any], label: str, size: int | None) -> dict[str, Any]:
    """Return everything measured on one alert."""
    candidate = record["candidate"]
    history = record.get("prv_candidates") or []
    row: dict[str, Any] = {"label": label, "message bytes": size, "isdiffpos": float(candidate["isdiffpos"] == "t")}
    row |= {name: candidate.get(name) for name in FIELDS}
    row["history rows"] = len(history)
    row["history detections"] = sum(entry["magpsf"] is not None for entry in history)
    images = {name: read_stamp(record[key]) for name, key in STAMPS.items()}
    for name, image in images.items():
        row |= stamp_numbers(name, image)
        row[f"{name} gzip bytes"] = len(record[STAMPS[name]]["stampData"])
    row["edge cut"] = float(images["science"].shape != (63, 63))
    for name in ("science", "template"):
        row[f"{name} star FWHM"] = brightest_star_fwhm(images[name], row[f"{name} median"], row[f"{name} noise (MAD)"])
    if candidate["sigmapsf"] < 0.1 and not row["edge cut"] and label != "bogus":
        row["difference source FWHM"] = fitted_fwhm(images["difference"], 31, 31)
        row["aperture flux / stated flux"] = aperture_ratio(images["difference"], candidate)
    return row


def aperture_ratio(difference: np.ndarray, candidate: dict[str, Any]) -> float:
    """Return the counts within 5 pixels over those that magnitude and zero point say."""
    rows, columns = np.mgrid[:63, :63] - 31
    distance = np.hypot(rows, columns)
    if candidate.get("magzpsci") is None:
        return np.nan
    base = np.nanmedian(difference[(distance > 10) & (distance < 25)])
    stated = 10.0 ** (-0.4 * (candidate["magpsf"] - candidate["magzpsci"]))
    return float((difference[distance <= 5] - base).sum() / stated)


def table_of(alerts: Iterable[tuple[dict[str, Any], str, int | None]]) -> pd.DataFrame:
    frame = pd.DataFrame([numbers(*alert) for alert in alerts])
    numeric = frame.columns.difference(["label"])
    frame[numeric] = frame[numeric].apply(pd.to_numeric)
    frame[numeric] = frame[numeric].mask(frame[numeric] <= -998.0)  # ZTF's "missing"
    return frame


def quantiles(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return "none"
    return " / ".join(
        np.format_float_positional(value, precision=3, fractional=False, trim="-")
        for value in values.quantile([0.05, 0.25, 0.5, 0.75, 0.95])
    )


def print_tables(real: pd.DataFrame, simulated: pd.DataFrame) -> None:
    print(f"{len(real)} real alerts, {len(simulated)} simulated\n")
    print("| share of alerts with | real | simulated |\n|---|---|---|")
    shares = {
        "NaN in the science stamp": lambda frame: frame["science NaN fraction"] > 0,
        "NaN in the template": lambda frame: frame["template NaN fraction"] > 0,
        "unfilled pixels (lowest float) in the template": lambda frame: frame["template unfilled"] > 0,
        "a stamp cut at an edge": lambda frame: frame["edge cut"] > 0,
        "isdiffpos = t": lambda frame: frame["isdiffpos"] > 0,
    }
    for name, test in shares.items():
        print(f"| {name} | {test(real).mean():.1%} | {test(simulated).mean():.1%} |")
    print("\n| quantity: 5 / 25 / 50 / 75 / 95 % | real | simulated |\n|---|---|---|")
    for name in real.columns:
        if name in ("label", "edge cut", "isdiffpos") or name.endswith("unfilled"):
            continue
        left, right = real[name], simulated[name]
        if name.endswith("NaN fraction"):
            left, right = left[left > 0], right[right > 0]
        print(f"| {name} | {quantiles(left)} | {quantiles(right)} |")
    print("\n| class: quantity | real | simulated |\n|---|---|---|")
    for label in CLASSES:
        one, other = real[real["label"] == label], simulated[simulated["label"] == label]
        counts = (f"{len(frame)}, {frame['isdiffpos'].mean():.0%}" for frame in (one, other))
        print(f"| {label}: number, isdiffpos = t | {' | '.join(counts)} |")
        for name in PER_CLASS:
            print(f"| {label}: {name} | {quantiles(one[name])} | {quantiles(other[name])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1].parent / "shared" / "data")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nights", type=int, default=DEFAULT_NIGHTS)
    arguments = parser.parse_args()
    with np.errstate(over="ignore", invalid="ignore"):
        real = table_of(real_alerts(arguments.data))
        simulated = table_of(simulated_alerts(arguments.count, arguments.seed, arguments.nights))
    print_tables(real, simulated)


if __name__ == "__main__":
    main()
