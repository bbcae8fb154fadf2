"""How far turning and mirroring the stamps moves the latents, over real alerts.

    python benchmarks/invariance.py --data ALERTS --model MODEL-FOLDER [--model ...]
    python benchmarks/invariance.py --data UNLABELLED --reference --angles --labelled ALERTS --model MODEL-FOLDER

The first prints, for each of the 8 elements of D4, the largest |z(gx) - z(x)| / |z(x)| over all scorable alerts. The
second prints the change under 15, 30 and 45 degrees in units of the median distance between two alerts, beside the
same turned back again, which is what interpolation alone does; and beside ALeRCE's net and the same net without
rotations but with turned stamps in training, both trained here on the labelled alerts: their last hidden layers, which
see the metadata as z_object does, and their codes of the stamps, as z_stamp.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from fulgor.errors import MalformedError
from fulgor.models.baselines.deep_hits import HIDDEN, SIZE, DeepHits
from fulgor.models.evaluation.alerts import AlertSet, LabelledAlert
from fulgor.models.evaluation.folds import reference_objects
from fulgor.models.evaluation.rulers import METADATA
from fulgor.models.serving import LoadedModel, load
from fulgor.preprocessing.ztf import ALERCE, ZtfAlert, ZtfDecoder, prepare
from fulgor.preprocessing.ztf.alerce import minmax_scaled
from fulgor.replay.archive import open_archive
from fulgor.replay.labelled import labelled_alerts

BATCH = 64
ANGLES = (15, 30, 45)
LIMIT = 1e-6
WHOLE = 0.99  # of a resampled pixel that must come from valid ones, as in training

Arrays = dict[str, np.ndarray]
Encode = Callable[[Arrays], Mapping[str, np.ndarray]]


def scorable(path: Path, only: frozenset[str]) -> Iterator[LabelledAlert]:
    decode = ZtfDecoder()
    for message in open_archive(path):
        try:
            alerts = decode(message.value)
        except MalformedError:
            continue
        for alert in alerts:
            if (
                isinstance(alert, ZtfAlert)
                and prepare(alert).unscorable is None
                and (not only or alert.object_id in only)
            ):
                yield LabelledAlert(alert, None, "")


def right_angle(arrays: Arrays, turns: int, mirror: bool) -> Arrays:
    def turned(stamps: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(stamps[..., ::-1] if mirror else stamps, turns, axes=(-2, -1)))

    return arrays | {name: turned(arrays[name]) for name in ("stamps", "masks")}


def any_angle(arrays: Arrays, degrees: float, mode: str) -> Arrays:
    """Turn about the centre; pixels from outside or in part from masked ones are masked, as in training."""
    angle, count = math.radians(degrees), len(arrays["stamps"])
    rows = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    grid = F.affine_grid(torch.tensor([rows] * count), list(arrays["stamps"].shape), align_corners=False)
    stamps, masks = (torch.from_numpy(np.asarray(arrays[name], np.float32)) for name in ("stamps", "masks"))
    valid = (F.grid_sample(masks, grid, align_corners=False) > WHOLE).float()
    seen = F.grid_sample(stamps, grid, mode=mode, align_corners=False) * valid
    return arrays | {"stamps": seen.numpy(), "masks": valid.numpy()}


def batched(encode: Encode, arrays: Arrays) -> dict[str, np.ndarray]:
    count = len(arrays["stamps"])
    parts = [encode({name: array[at : at + BATCH] for name, array in arrays.items()}) for at in range(0, count, BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def served(model: LoadedModel) -> Encode:
    def encode(arrays: Arrays) -> Mapping[str, np.ndarray]:
        found = model.predict(arrays)
        return {"z_object": found["latent"], "z_stamp": found["stamp_latent"]}

    return encode


def alerce_stamps(arrays: Arrays) -> torch.Tensor:
    """ALeRCE's crop and scaling of stamps scaled from 0 to 1 as a whole, which changes nothing of what comes out."""
    start = (arrays["stamps"].shape[-1] - SIZE) // 2
    part = slice(start, start + SIZE)
    found = np.zeros((*arrays["stamps"].shape[:2], SIZE, SIZE), np.float32)
    for place in np.ndindex(found.shape[:2]):
        pixels, valid = arrays["stamps"][place][part, part], arrays["masks"][place][part, part] > 0
        if len(np.unique(pixels[valid])) > 1:
            found[place] = minmax_scaled(pixels, valid)
    return torch.from_numpy(found)


def raw_arrays(alerts: AlertSet) -> Arrays:
    """Whole stamps in ALeRCE's scaling, with the 23 features."""
    found = [prepare(alert, replace(ALERCE, size=63)).arrays for alert in alerts.alerts]
    index = np.arange(len(alerts))
    features = alerts.feature(METADATA, index).astype(np.float32)
    return {name: np.stack([one[name] for one in found]) for name in ("stamps", "masks")} | {"features": features}


def trained(alerts: AlertSet, *, cyclic: bool, seconds: float) -> Encode:
    """ALeRCE's net, trained for so much processor time on labelled alerts, to its last hidden layer."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    arrays, labels = raw_arrays(alerts), torch.from_numpy(alerts.labels)
    network = DeepHits(len(METADATA), len(alerts.dataset.classes), cyclic=cyclic)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    views = [alerce_stamps(any_angle(arrays, angle, "bilinear")) for angle in ((0,) if cyclic else range(0, 360, 24))]
    features, weights = torch.from_numpy(arrays["features"]), (1.0 / torch.bincount(labels))[labels]
    begun, steps, hits = time.process_time(), 0, 0.0
    while time.process_time() - begun < seconds:
        rows = torch.multinomial(weights, 32, replacement=True, generator=random)
        stamps = views[int(torch.randint(len(views), (), generator=random))][rows]
        logits = network(stamps, features[rows])
        spread = torch.distributions.Categorical(logits=logits).entropy().mean()
        loss = F.cross_entropy(logits, labels[rows]) - (0.5 * spread if cyclic else 0.0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        steps += 1
        hits = 0.95 * hits + 0.05 * float((logits.argmax(1) == labels[rows]).float().mean())
    print(f"cyclic {cyclic}: {steps} steps of 32 in {seconds:g} s of processor time; training accuracy {hits:.2f}")
    network.eval()
    hidden: list[torch.Tensor] = []
    network.head[-1].register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
    network.head.register_forward_pre_hook(lambda _, given: hidden.append(given[0][:, :HIDDEN]))

    @torch.no_grad()
    def encode(some: Arrays) -> Mapping[str, np.ndarray]:
        network(alerce_stamps(some), torch.from_numpy(some["features"]))
        return {"last hidden layer": hidden.pop().numpy(), "code of the stamps": hidden.pop().numpy()}

    return encode


def spacing(latents: np.ndarray) -> float:
    """The median distance of two alerts."""
    first, second = np.triu_indices(len(latents), 1)
    return float(np.median(np.linalg.norm(latents[first] - latents[second], axis=1)))


def print_right_angles(model: LoadedModel, arrays: Arrays) -> None:
    plain = batched(served(model), arrays)
    print(f"\n{len(arrays['stamps'])} alerts, {model.card['name']} {model.model_hash}, {model.card['precision']}\n")
    print("| turns | mirrored | z_object | z_stamp |\n|---|---|---|---|")
    worst = {key: np.zeros(len(latents)) for key, latents in plain.items()}
    for mirror in (False, True):
        for turns in range(4):
            found = batched(served(model), right_angle(arrays, turns, mirror))
            off = {key: np.linalg.norm(found[key] - z, axis=1) / np.linalg.norm(z, axis=1) for key, z in plain.items()}
            print(
                f"| {turns} | {'yes' if mirror else 'no'} | "
                + " | ".join(f"{one.max():.2e}" for one in off.values())
                + " |"
            )
            worst = {key: np.maximum(worst[key], one) for key, one in off.items()}
    over = ", ".join(
        f"{key} {(one > LIMIT).sum()} (99th percentile {np.quantile(one, 0.99):.1e})" for key, one in worst.items()
    )
    print(f"\nalerts of which some element moves a latent by more than {LIMIT:g}: {over}")


def print_angles(name: str, encode: Encode, arrays: Arrays) -> None:
    plain = batched(encode, arrays)
    units = {key: spacing(latents) for key, latents in plain.items()}

    def change(moved: Arrays, key: str) -> str:
        off = np.linalg.norm(batched(encode, moved)[key] - plain[key], axis=1) / units[key]
        return f"{np.median(off):.3f} ({np.quantile(off, 0.95):.2f})"

    for key in plain:
        for mode in ("bilinear", "bicubic"):
            cells = []
            for angle in ANGLES:
                there = any_angle(arrays, angle, mode)
                cells += [change(there, key), change(any_angle(there, -angle, mode), key)]
            quarter = change(right_angle(arrays, 1, False), key)
            mirror = change(right_angle(arrays, 0, True), key)
            print(f"| {name}, {key} | {mode} | " + " | ".join([*cells, quarter, mirror]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True, help="archives of alerts")
    parser.add_argument("--model", type=Path, action="append", required=True, help="folders of models")
    parser.add_argument("--reference", action="store_true", help="only alerts of the frozen reference's objects")
    parser.add_argument("--angles", action="store_true", help="angles that are not right")
    parser.add_argument("--labelled", type=Path, help="labelled archive to train the others' nets on")
    parser.add_argument("--seconds", type=float, default=60, help="processor time of each of these trainings")
    given = parser.parse_args()
    torch.set_num_threads(1)
    only = reference_objects() if given.reference else frozenset[str]()
    alerts = AlertSet.gather(row for path in given.data for row in scorable(path, only))
    arrays = alerts.dataset.take(np.arange(len(alerts)))
    models = [load(folder, "cpu") for folder in given.model]
    if not given.angles:
        for model in models:
            print_right_angles(model, arrays)
        return
    print(f"{len(alerts)} alerts of {len(set(alerts.objects.tolist()))} objects; median (95th percentile)")
    others: dict[str, Encode] = {}
    if given.labelled:
        known = AlertSet.gather(row for row in labelled_alerts(given.labelled) if row.label)
        known = AlertSet.gather(
            LabelledAlert(known.alerts[k], known.dataset.classes[known.labels[k]], "") for k in known.labelled.tolist()
        )
        others["ALeRCE's net"] = trained(known, cyclic=True, seconds=given.seconds)
        others["plain CNN, rotated"] = trained(known, cyclic=False, seconds=given.seconds)
    columns = [f"{angle} deg | {angle} deg and back" for angle in ANGLES]
    print("| latent | interpolation | " + " | ".join([*columns, "90 deg", "mirror"]) + " |")
    print("|---" * (2 + 2 * len(ANGLES) + 2) + "|")
    for model in models:
        print_angles(f"{model.card['name']} {model.model_hash[:8]}", served(model), arrays)
    for name, encode in others.items():
        print_angles(name, encode, raw_arrays(alerts))


if __name__ == "__main__":
    main()
