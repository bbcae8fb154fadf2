from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fulgor.models.baselines.views import LONGEST, AlerceStamps, ImageSequences, flipped, over_time, turned
from fulgor.models.evaluation.alerts import AlertSet


def _pictures(alerts: AlertSet, *, imaged: bool = True) -> np.ndarray:
    return ImageSequences(AlerceStamps(), imaged=imaged).places(alerts, np.arange(len(alerts)))


def test_pictures_are_of_the_same_object_and_never_of_the_future(alerts: AlertSet) -> None:
    jd = np.array([alert.jd for alert in alerts.alerts])
    found = _pictures(alerts)[..., 1]
    assert (found[:, -1] == np.arange(len(alerts))).all()  # the alert itself comes last
    assert ((found >= 0).sum(1) > 1).sum() > 10  # the simulated night has objects with several alerts
    for number, row in enumerate(found):
        past = row[row >= 0]
        assert (alerts.objects[past] == alerts.objects[number]).all()
        assert (np.diff(jd[past]) > 0).all()
        assert (jd[past] <= jd[number]).all()


def test_later_alerts_change_nothing(alerts: AlertSet) -> None:
    jd = np.array([alert.jd for alert in alerts.alerts])
    early = np.flatnonzero(jd <= np.median(jd))
    before = AlertSet(
        tuple(alerts.alerts[n] for n in early.tolist()), alerts.dataset.part(early), alerts.origins[early]
    )
    view = ImageSequences(AlerceStamps(), imaged=False)
    for one, two in zip(view(alerts, early), view(before, np.arange(len(early))), strict=True):
        assert (one == two).all()


def test_a_truncated_history_hides_the_pictures(alerts: AlertSet) -> None:
    for count in (1, 2):
        short = alerts.truncated(count)
        for imaged in (True, False):
            assert ((_pictures(short, imaged=imaged)[..., 0] >= 0).sum(1) <= count).all()


def test_detections_without_pictures_are_kept_or_left_out(alerts: AlertSet) -> None:
    every, imaged = _pictures(alerts, imaged=False), _pictures(alerts)
    assert ((every[..., 0] >= 0).sum(1) == np.minimum(alerts.detections, LONGEST)).all()
    assert (imaged[..., 0] >= 0).sum() < (every[..., 0] >= 0).sum()
    alone = replace(alerts, alerts=tuple(replace(one, object_id=str(n)) for n, one in enumerate(alerts.alerts)))
    assert ((_pictures(alone)[..., 1] >= 0).sum(1) == 1).all()


def test_a_picture_stands_beside_its_own_photometry(alerts: AlertSet) -> None:
    view = ImageSequences(AlerceStamps(), imaged=False)
    index = np.arange(len(alerts))
    images, seen, steps, held, metadata = view(alerts, index)
    places = view.places(alerts, index)
    assert images.shape == (60, LONGEST, 3, 21, 21)
    assert metadata.shape == (60, 23)
    assert ((seen == 1) <= (held == 1)).all()
    assert (steps[held == 0] == 0).all()
    stamps = AlerceStamps()
    for row, slot in np.argwhere(seen > 0)[:40]:
        other = places[row, slot, 1]
        assert (images[row, slot] == stamps(alerts, np.array([other]))[0]).all()
        ahead = alerts.alerts[row].jd - alerts.alerts[other].jd
        assert np.expm1(steps[row, slot, 0]) == pytest.approx(ahead, abs=1e-4)


def test_a_turned_stamp_keeps_its_centre_and_its_sum() -> None:
    y, x = np.mgrid[-10:11, -10:11]
    blob = torch.from_numpy(np.exp(-((x - 3) ** 2 + y**2) / 8)).float().expand(16, 3, 21, 21)
    found = turned(blob, torch.Generator().manual_seed(1))
    assert found.shape == blob.shape
    assert found[:, :, 10, 10] == pytest.approx(blob[:, :, 10, 10], rel=0.05)
    assert found.sum((2, 3)) == pytest.approx(blob.sum((2, 3)), rel=0.02)
    assert not torch.allclose(found[0], found[1], atol=0.1)


def test_all_pictures_of_a_sequence_are_turned_alike() -> None:
    images = torch.rand(4, 1, 3, 21, 21).expand(4, 5, 3, 21, 21)
    for augment in (turned, flipped):
        found = over_time(augment)(images, torch.Generator().manual_seed(2))
        assert found.shape == images.shape
        assert torch.allclose(found[:, 0], found[:, 4], atol=1e-6)
        assert not torch.allclose(found, images, atol=0.1)
