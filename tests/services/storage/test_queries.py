from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from fulgor.errors import FulgorError, ModelError, SettingsError
from fulgor.preprocessing.sky import healpix_index
from fulgor.storage.database import connect
from fulgor.storage.queries import anomalies, cone, nearest, night_bounds, object_history
from fulgor.storage.registry import register_model
from fulgor.storage.writer import Writer

pytestmark = pytest.mark.services

RNG = np.random.default_rng(5)
LATENTS = RNG.normal(size=(40, 64)).astype(np.float32)
ANOMALY = RNG.permutation(40).astype(np.float32) / 64


@pytest.fixture
def night(toy):
    """40 alerts, a0 to a39, of 10 objects over four nights; a39 could not be scored."""
    rows = [
        toy.result(
            i, alert=f"a{i}", object=f"o{i % 10}", latent=LATENTS[i], anomaly=float(ANOMALY[i]),
            time=toy.night + timedelta(days=i // 10, seconds=i), class_name=("AGN", "SN")[i % 2], flags=i,
        )
        for i in range(40)
    ]  # fmt: skip
    rows[39] = replace(
        rows[39], latent=None, probabilities=None, scores=None, class_name=None, anomaly=None, unscorable="no stamps"
    )
    toy.write(rows, next_offset=40)
    return toy


def cosine(a, b):
    a, b = a.astype(float), b.astype(float)
    return 1 - b @ a / (np.linalg.norm(a) * np.linalg.norm(b, axis=1))


class TestNearest:
    @pytest.mark.parametrize("metric", ["cosine", "l2"])
    def test_equals_brute_force(self, night, metric):
        others = [i for i in range(39) if i != 7]
        distances = (
            cosine(LATENTS[7], LATENTS[others]) if metric == "cosine"
            else np.linalg.norm(LATENTS[others] - LATENTS[7], axis=1)
        )  # fmt: skip
        found = nearest(night.connection, "toy", "a7", 5, metric=metric)
        order = np.argsort(distances)[:5]
        assert [row.alert for row in found] == [f"a{others[i]}" for i in order]
        np.testing.assert_allclose([row.distance for row in found], distances[order], rtol=1e-5)

    def test_rows_are_joined_to_scores(self, night):
        first = nearest(night.connection, "toy", "a7", 1)[0]
        assert (first.model, first.scores) == ("toy-1", {"reconstruction": 1.5, "distance": None})
        assert first.probabilities == {"AGN": 0.25, "SN": 0.75}
        assert first.anomaly == ANOMALY[int(first.alert[1:])]
        assert first.time.tzinfo is not None

    def test_without_its_own_object(self, night):
        found = nearest(night.connection, "toy", "a7", 100, other_objects=True)
        assert len(found) == 35
        assert "o7" not in {row.object for row in found}

    def test_fewer_than_asked_for(self, night):
        found = nearest(night.connection, "toy", "a7", 100)
        assert len(found) == 38  # neither itself nor the one without a latent
        assert len({row.alert for row in found}) == 38

    def test_only_latents_of_the_same_model(self, night):
        second = register_model(night.connection, night.card | {"name": "toy-2", "hash": "c" * 16})
        with connect(night.url) as connection:
            night.writer, night.model_id = Writer(connection, night.table), second
            rows = [night.result(40 + i, alert=f"a{i}", object="o", latent=-LATENTS[i]) for i in (7, 8)]
            night.write(rows, next_offset=42)
        assert len(nearest(night.connection, "toy", "a7", 100)) == 38
        assert [row.alert for row in nearest(night.connection, "toy", "a7", 100, model="toy-2")] == ["a8"]

    @pytest.mark.parametrize(
        ("alert", "error", "words"),
        [("nobody", FulgorError, "no alert 'nobody' scored by model toy-1"), ("a39", FulgorError, "no stamps")],
    )
    def test_nothing_to_compare(self, night, alert, error, words):
        with pytest.raises(error, match=words):
            nearest(night.connection, "toy", alert)

    def test_unknown_model_and_stream(self, night):
        with pytest.raises(ModelError, match="no model 'x'"):
            nearest(night.connection, "toy", "a7", model="x")
        with pytest.raises(ModelError, match="'elsewhere' has no live model"):
            nearest(night.connection, "elsewhere", "a7")

    def test_k_has_bounds(self, night):
        with pytest.raises(SettingsError, match="k = 0"):
            nearest(night.connection, "toy", "a7", 0)


class TestAnomalies:
    def test_the_strangest_first(self, night):
        found = anomalies(night.connection, "toy", limit=10)
        assert [row.alert for row in found] == [f"a{i}" for i in np.argsort(-ANOMALY[:39])[:10]]
        assert found[0].latent is None

    def test_all_of_them_without_the_unscorable(self, night):
        assert len(anomalies(night.connection, "toy", limit=100)) == 39

    def test_of_a_night(self, night):
        since, until = night_bounds(date(2026, 3, 2))
        found = anomalies(night.connection, "toy", since=since, until=until, limit=100)
        assert {row.alert for row in found} == {f"a{i}" for i in range(10, 20)}
        anomaly = [row.anomaly for row in found]
        assert anomaly == sorted(anomaly, reverse=True)

    def test_bounds_are_half_open(self, night):
        time = night.night + timedelta(seconds=3)
        assert [r.alert for r in anomalies(night.connection, "toy", since=time, until=time)] == []
        later = time + timedelta(seconds=1)
        assert [r.alert for r in anomalies(night.connection, "toy", since=time, until=later)] == ["a3"]

    def test_of_a_class(self, night):
        found = anomalies(night.connection, "toy", class_name="AGN", limit=100)
        assert {int(row.alert[1:]) % 2 for row in found} == {0}
        with pytest.raises(SettingsError, match="no class 'QSO'; it has AGN, SN"):
            anomalies(night.connection, "toy", class_name="QSO")


class TestObject:
    def test_through_time_with_latents(self, night):
        found = object_history(night.connection, "toy", "o3")
        assert [row.alert for row in found] == ["a3", "a13", "a23", "a33"]
        np.testing.assert_array_equal(np.float32(found[1].latent), LATENTS[13])

    def test_the_unscorable_one_is_shown_with_its_reason(self, night):
        last = object_history(night.connection, "toy", "o9")[-1]
        assert (last.alert, last.latent, last.scores, last.unscorable) == ("a39", None, {}, "no stamps")

    def test_a_limit_keeps_the_latest(self, night):
        assert [row.alert for row in object_history(night.connection, "toy", "o3", limit=2)] == ["a23", "a33"]

    def test_unknown(self, night):
        with pytest.raises(FulgorError, match="no alert of object 'nobody'"):
            object_history(night.connection, "toy", "nobody")


class TestCone:
    @pytest.fixture
    def sky(self, toy):
        """Alerts around (359.999, 60) at up to 2 degrees, some across ra = 0."""
        rng = np.random.default_rng(3)
        self.ra = (359.999 + rng.uniform(-4, 4, 300)) % 360
        self.dec = 60 + rng.uniform(-2, 2, 300)
        rows = [
            toy.result(i, alert=f"a{i}", columns=(ra, dec, healpix_index(ra, dec), 1, 18.0))
            for i, (ra, dec) in enumerate(zip(self.ra.tolist(), self.dec.tolist(), strict=True))
        ]
        rows.append(toy.result(300, alert="nowhere", columns=(None, None, None, 1, 18.0)))
        toy.write(rows, next_offset=301)
        return toy

    @pytest.mark.parametrize("degrees", [0.1, 0.7, 2.0])
    def test_equals_brute_force(self, sky, degrees):
        found = cone(sky.connection, "toy", 359.999, 60.0, degrees * 3600)
        a, d, a0, d0 = (np.radians(x) for x in (self.ra, self.dec, 359.999, 60.0))
        cosine = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a - a0)
        separation = np.degrees(np.arccos(cosine)) * 3600
        order = np.argsort(separation)
        wanted = [f"a{i}" for i in order if separation[i] <= degrees * 3600]
        assert wanted
        assert [row.alert for row in found] == wanted
        np.testing.assert_allclose([row.separation for row in found], separation[order][: len(found)], rtol=1e-4)

    def test_the_alert_itself(self, sky):
        (found,) = cone(sky.connection, "toy", self.ra[0], self.dec[0], 0.5)
        assert (found.alert, found.ra, found.class_name) == ("a0", self.ra[0], "SN")
        assert found.separation < 1e-3

    def test_a_limit_keeps_the_nearest(self, sky):
        many = cone(sky.connection, "toy", 0, 60.0, 7200)
        assert [r.alert for r in cone(sky.connection, "toy", 0, 60.0, 7200, limit=3)] == [r.alert for r in many[:3]]

    def test_nothing_there(self, sky):
        assert cone(sky.connection, "toy", 180, -60, 60) == []

    def test_a_stream_without_places(self, sky):
        with sky.connection.transaction(force_rollback=True):
            sky.connection.execute("ALTER TABLE fulgor.toy_alert RENAME COLUMN healpix TO pixel")
            with pytest.raises(SettingsError, match="have no places on the sky"):
                cone(sky.connection, "toy", 0, 0, 1)


def test_a_night_is_a_day_in_utc():
    assert night_bounds(date(2026, 12, 31)) == (
        datetime(2026, 12, 31, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )
