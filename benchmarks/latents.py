"""What the latents know of the classes: a linear probe and the purity of neighbours, on real alerts, out of fold.

    python benchmarks/latents.py --data ALERTS --model MODEL-FOLDER [--model ...]

The probe is a logistic regression (classes weigh alike, C = 1, nothing is searched) on standardised latents, trained on
four frozen folds and measured on the fifth. Purity is the part of a held-out alert's 10 nearest training alerts that
share its class; both are means over classes. Intervals draw objects. A model whose card lists the labels it was tuned
on has seen them: its z_object is marked, and its figure says nothing of other alerts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fulgor.models.card import used_objects
from fulgor.models.evaluation.alerts import AlertSet
from fulgor.models.evaluation.bootstrap import Bootstrap, Interval
from fulgor.models.evaluation.folds import outer_folds, splits
from fulgor.models.evaluation.metrics import balanced_accuracy
from fulgor.models.evaluation.rulers import METADATA
from fulgor.models.serving import LoadedModel, load
from fulgor.replay.labelled import labelled_alerts

NEIGHBOURS = 10
BATCH = 64


def encoded(model: LoadedModel, alerts: AlertSet) -> dict[str, np.ndarray]:
    index = alerts.labelled
    parts = [model.predict(alerts.dataset.take(index[at : at + BATCH])) for at in range(0, len(index), BATCH)]
    return {key: np.concatenate([part[key] for part in parts]) for key in ("latent", "stamp_latent")}


def spaces(alerts: AlertSet, models: list[LoadedModel]) -> Iterator[tuple[str, np.ndarray]]:
    for model in models:
        name = f"{model.card['name']} {model.model_hash[:8]}"
        found = encoded(model, alerts)
        yield f"{name}, z_object" + (" (has seen the labels)" if used_objects(model.card) else ""), found["latent"]
        yield f"{name}, z_stamp", found["stamp_latent"]
    index = alerts.labelled
    yield "the 23 metadata features", alerts.feature(METADATA, index)
    yield "chance", np.random.default_rng(0).normal(size=(len(index), 64))


def out_of_fold(rows: np.ndarray, alerts: AlertSet, tell: Callable[..., np.ndarray]) -> np.ndarray:
    """What is told of each labelled alert by a fit that saw none of its object."""
    labels, objects = alerts.labels[alerts.labelled], alerts.objects[alerts.labelled]
    found = np.zeros((len(rows), len(alerts.dataset.classes)))
    for split in splits(outer_folds(objects, labels)):
        scale = StandardScaler().fit(rows[split.train])
        found[split.test] = tell(
            scale.transform(rows[split.train]), labels[split.train], scale.transform(rows[split.test])
        )
    return found


def probe(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    fitted = make_pipeline(LogisticRegression(C=1.0, class_weight="balanced", max_iter=2000)).fit(train, labels)
    return fitted.predict_proba(test)


def shares(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The part of the nearest training alerts that each class has."""
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(train).kneighbors(test, return_distance=False)
    return np.eye(labels.max() + 1)[labels[nearest]].mean(axis=1)


def purity(labels: np.ndarray, found: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean over classes of the share that the true class has."""
    right = found[np.arange(len(labels)), labels]
    weight = np.ones(len(labels)) if weights is None else weights
    member = np.eye(found.shape[1])[labels]
    total = weight @ member
    share = np.divide((weight * right) @ member, total, out=np.full_like(total, np.nan), where=total > 0)
    return np.nanmean(share, axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="labelled archive")
    parser.add_argument("--model", type=Path, action="append", required=True, help="folders of models")
    given = parser.parse_args()
    alerts = AlertSet.gather(labelled_alerts(given.data))
    labels, objects = alerts.labels[alerts.labelled], alerts.objects[alerts.labelled]
    bootstrap = Bootstrap(objects)
    print(f"{len(labels)} alerts of {len(set(objects.tolist()))} objects\n")
    print(f"| latent | linear probe, balanced accuracy | purity of {NEIGHBOURS} neighbours |\n|---|---|---|")
    for name, rows in spaces(alerts, [load(folder, "cpu") for folder in given.model]):
        cells: list[Interval] = [
            bootstrap.interval(balanced_accuracy, labels, out_of_fold(rows, alerts, probe)),
            bootstrap.interval(purity, labels, out_of_fold(rows, alerts, shares)),
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
