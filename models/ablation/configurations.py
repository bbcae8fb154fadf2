"""The base configuration, and those that differ from it in one factor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

from fulgor.errors import ModelError
from fulgor.models.finetuning import TuningConfig
from fulgor.models.fitting import TrainingConfig
from fulgor.models.images import IMAGES, STAMPS
from fulgor.models.objective import Weights

__all__ = ["BASE", "CONFIGURATIONS", "Configuration", "at_size", "named"]

TRAINING = TrainingConfig(size=21, width=4, epochs=10, patience=10)
TUNING = TuningConfig(steps=120, count=4)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A way to make a model.

    Parameters
    ----------
    name : str
        How the tables call it.
    axis : str
        The factor in which it differs from the base.
    training : TrainingConfig
        How it is trained on simulated alerts; the seed is that of the run.
    tuning : TuningConfig
        How it is tuned on real alerts; likewise.
    pretrained : bool
        Whether it is trained on simulated alerts at all; else on the real ones, and reminded of no simulated ones.
    """

    name: str
    axis: str
    training: TrainingConfig = field(default=TRAINING)
    tuning: TuningConfig = field(default=TUNING)
    pretrained: bool = True


BASE = Configuration("base", "base")


def _images() -> list[Configuration]:
    """Return single images, pairs, and all; the three stamps are the base."""
    chosen = [*combinations(IMAGES, 1), *combinations(IMAGES, 2), IMAGES]
    return [
        Configuration(" + ".join(names), "images", replace(TRAINING, images=names))
        for names in chosen
        if names != STAMPS
    ]


def _parts() -> list[Configuration]:
    """Return what is left when the object latent is not made of everything.

    A part that is not seen is not rebuilt either, or the objective would teach what the network is denied.
    """
    rows = {
        "without metadata": ("curve", "stamps"),
        "without light curve": ("metadata", "stamps"),
        "without stamps": ("curve", "metadata"),
        "metadata only": ("metadata",),
        "stamps only": ("stamps",),
    }
    return [Configuration(name, "parts", *_seeing(sees)) for name, sees in rows.items()]


def _seeing(sees: tuple[str, ...]) -> tuple[TrainingConfig, TuningConfig]:
    curve = "curve" in sees
    weights = replace(
        TRAINING.weights,
        stamps=TRAINING.weights.stamps * ("stamps" in sees),
        sequence=TRAINING.weights.sequence * curve,
    )
    return replace(TRAINING, sees=sees, weights=weights), replace(TUNING, sequence=TUNING.sequence * curve)


def _entropy() -> list[Configuration]:
    """Return one weight of the entropy for training and tuning alike."""
    return [
        Configuration(
            f"entropy {weight}",
            "entropy",
            replace(TRAINING, weights=Weights(entropy=weight)),
            replace(TUNING, entropy=weight),
        )
        for weight in (0.0, 0.3, 0.5, 1.0)
    ]


def _all() -> Iterable[Configuration]:
    yield BASE
    for width in (8, 16):
        yield Configuration(f"f{width}", "width", replace(TRAINING, width=width))
    for size in (31, 63):
        yield Configuration(f"{size} px", "scale", replace(TRAINING, size=size))
    yield Configuration("21 px + 63 px coarse", "scale", replace(TRAINING, coarse=63))
    yield from _parts()
    yield Configuration("state space", "cell", replace(TRAINING, cell="diagonal-ssm"))
    yield from _entropy()
    # Half as many alerts as the simulated ones, so twice the passes for as many steps.
    yield Configuration(
        "real alerts only", "pre-training", replace(TRAINING, epochs=2 * TRAINING.epochs), pretrained=False
    )
    yield from _images()


CONFIGURATIONS = {one.name: one for one in _all()}
"""All configurations by name, the base first."""


def at_size(configuration: Configuration, size: int) -> Configuration:
    """Return a configuration at another stamp size."""
    training = replace(configuration.training, size=size)
    return replace(configuration, name=f"{configuration.name}, {size} px", axis="size of finalists", training=training)


def named(name: str) -> Configuration:
    """Return a configuration by its name, or by ``NAME, SIZE px``.

    Raises
    ------
    ModelError
        There is none.
    """
    if name in CONFIGURATIONS:
        return CONFIGURATIONS[name]
    stem, _, size = name.removesuffix(" px").rpartition(", ")
    if stem in CONFIGURATIONS and size.isdecimal():
        return at_size(CONFIGURATIONS[stem], int(size))
    raise ModelError(f"there is no configuration {name!r}; choose among {', '.join(CONFIGURATIONS)}")
