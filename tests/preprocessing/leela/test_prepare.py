"""Chunks to pulses: places, signs, windows, flags, and what a neighbour changes."""

from __future__ import annotations

import numpy as np
import pytest

from fulgor.preprocessing.leela import DEFAULT, LeelaFlag, prepare, prepare_together

NOISE = np.random.default_rng(1).normal(0, 10, 4096)
HUM = 80 * np.sin(2 * np.pi * 100 * np.arange(4096) * 9.142859755e-6)


def test_a_pulse_is_found_where_it_is_whatever_hum_and_offset(chunk, wave_packet):
    for sign in (1, -1):
        prepared = prepare(chunk(wave_packet(500.3, 300.0 * sign) + NOISE[:1024] + HUM[:1024] - 295))
        [pulse] = prepared.pulses
        assert pulse.peak_at == pytest.approx(500.3, abs=0.4)
        assert pulse.peak == 500
        assert pulse.polarity == sign
        assert pulse.amplitude == pytest.approx(300, rel=0.1)
        assert pulse.start < 495 < 505 < pulse.end
        assert 0 < pulse.rise < 20
        assert prepared.flags == LeelaFlag.FLOAT_SAMPLES
        assert prepared.windows.shape == (1, DEFAULT.window)
        np.testing.assert_allclose(prepared.windows[0, 128], prepared.signal[500], rtol=1e-5)


def test_several_pulses_come_in_time_order(chunk, wave_packet):
    samples = wave_packet(200, 200) + wave_packet(420, 500) + wave_packet(800, 120) + NOISE[:1024]
    prepared = prepare(chunk(samples))
    assert [round(pulse.peak_at, -1) for pulse in prepared.pulses] == [200, 420, 800]
    assert prepared.arrays["windows"].shape == (3, 2, 256)
    assert prepared.arrays["scalars"].shape == (3, 8)


def test_more_pulses_than_are_kept_are_flagged(chunk, wave_packet):
    samples = sum(wave_packet(at, 300) for at in range(50, 1000, 70)) + NOISE[:1024]
    prepared = prepare(chunk(samples))
    assert len(prepared.pulses) == DEFAULT.most_pulses
    assert LeelaFlag.MANY_PULSES in prepared.flags


def test_noise_alone_gives_the_loudest_stretch_and_no_pulse(chunk):
    prepared = prepare(chunk(NOISE[:1024]))
    assert prepared.pulses == ()
    assert LeelaFlag.NO_PULSE in prepared.flags
    assert prepared.arrays["windows"].shape == (1, 2, 256)
    assert prepared.arrays["scalars"][0, 6] == 0


def test_the_shift_of_a_pulse_leaves_its_window_alone(chunk, wave_packet):
    long = NOISE[:2048] + wave_packet(1000, 400, size=2048)
    windows = [prepare(chunk(long[at : at + 1024])).windows[0] for at in (400, 464, 528)]
    for window in windows[1:]:
        np.testing.assert_allclose(window, windows[0], atol=0.5)


def test_a_pulse_near_an_edge_is_flagged(chunk, wave_packet):
    flags = [
        prepare(chunk(NOISE[:1024] + wave_packet(at, 300))).pulse_flags[0] & LeelaFlag.NEAR_EDGE
        for at in (120, 136, 888, 904)
    ]
    assert [bool(flag) for flag in flags] == [True, False, False, True]


def test_what_a_chunk_becomes_does_not_depend_on_its_company(chunk, wave_packet):
    lengths, intervals = (1024, 1024, 700, 2048, 200), (9142.86, 9142.86, 5000.0)
    chunks = [
        chunk(
            (NOISE[number : number + lengths[number % 5]] + (number % 4) * wave_packet(150, 90, lengths[number % 5])),
            interval_ns=intervals[number % 3],
        )
        for number in range(40)
    ]
    chunks += [chunk(np.zeros(1024)), chunk(np.where(np.arange(1024) == 5, np.nan, 1.0))]
    together = prepare_together(chunks)
    backwards = prepare_together(chunks[::-1])[::-1]
    for each, one, other in zip(chunks, together, backwards, strict=True):
        alone = prepare(each)
        for company in (one, other):
            assert (company.flags, company.unscorable) == (alone.flags, alone.unscorable)
            assert (company.mean, company.noise, company.pulses) == (alone.mean, alone.noise, alone.pulses)
            assert company.pulse_flags == alone.pulse_flags
            assert company.signal.tobytes() == alone.signal.tobytes()
            assert company.windows.tobytes() == alone.windows.tobytes()
            assert company.arrays.keys() == alone.arrays.keys()
            for name, array in alone.arrays.items():
                assert company.arrays[name].tobytes() == array.tobytes()
    assert {len(each.pulses) for each in together} >= {0, 1}


@pytest.mark.parametrize(
    ("samples", "flag"),
    [
        (np.zeros(1024), LeelaFlag.CONSTANT),
        (np.full(1024, -7.0), LeelaFlag.CONSTANT),
        (np.where(np.arange(1024) == 5, np.nan, 1.0), LeelaFlag.NOT_FINITE),
        (np.where(np.arange(1024) == 5, np.inf, 1.0), LeelaFlag.NOT_FINITE),
        (np.arange(1024) * 1e300, LeelaFlag.NOT_FINITE),
        (np.arange(100.0), LeelaFlag.TOO_SHORT),
    ],
)
def test_what_cannot_be_scored_says_why(chunk, samples, flag):
    prepared = prepare(chunk(samples))
    assert flag in prepared.flags
    assert prepared.unscorable
    assert not prepared.arrays


def test_too_slow_sampling_is_not_scored(chunk):
    prepared = prepare(chunk(NOISE[:1024], interval_ns=40_000.0))
    assert LeelaFlag.TOO_SLOW in prepared.flags
    assert "18000" in str(prepared.unscorable)


def test_another_sampling_gives_the_same_window(chunk, wave_packet):
    usual = prepare(chunk(wave_packet(500, 300) + 0.01 * NOISE[:1024]))
    fine = prepare(chunk(wave_packet(1000, 300, 2048, 10.0, 0.045) + 0.01 * NOISE[:2048], interval_ns=9142.857 / 2))
    assert LeelaFlag.SAMPLING in fine.flags
    np.testing.assert_allclose(fine.windows[0], usual.windows[0], atol=6)


def test_odd_but_usable_chunks_are_flagged(chunk, wave_packet):
    samples = np.clip(np.rint(wave_packet(500, 9000) + NOISE[:1024]), -2048, 2047)
    fields = {"rxtime": 1.6e15, "endtime": 1_700_000_000_000_000_000}
    prepared = prepare(chunk(samples, **fields))
    assert prepared.flags & LeelaFlag.CLIPPED
    assert prepared.flags & LeelaFlag.CLOCK
    assert prepared.flags & LeelaFlag.TIMES_DISAGREE
    assert prepared.unscorable is None
    assert all(np.isfinite(array).all() for array in prepared.arrays.values())
