from __future__ import annotations

import math

import pytest
import torch

from fulgor.models.decoders import SOFTENING, SequenceDecoder, StampDecoder
from fulgor.models.layout import DETECTION, LOG_ERROR, MAGNITUDE
from fulgor.models.symmetry import ORDER, act


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("size", "view"), [(63, 31), (31, 31), (21, 21)])
def test_view(size: int, view: int) -> None:
    assert StampDecoder(8, size)(torch.zeros(2, 8)).shape == (2, 3, view, view)


@pytest.mark.parametrize("element", range(ORDER))
def test_the_orientation_that_fits_has_no_error(element: int) -> None:
    decoder, latent = StampDecoder(8, 21), torch.randn(2, 8)
    stamps = torch.zeros(2, 3, 63, 63)
    stamps[:, :, 21:42, 21:42] = act(decoder(latent).detach(), element)
    errors, pixels = decoder.errors(latent, stamps, torch.ones_like(stamps))
    assert errors.argmin(1).tolist() == [element] * 2
    assert float(errors[:, element].max().detach()) < 1e-6
    assert float(pixels.min()) > 0


def test_one_element_turns_all_three_stamps() -> None:
    decoder, latent = StampDecoder(8, 21), torch.randn(1, 8)
    drawn = decoder(latent).detach()
    stamps = torch.zeros(1, 3, 63, 63)
    for channel in range(3):
        stamps[:, channel, 21:42, 21:42] = act(drawn[:, channel], channel)
    assert float(decoder.errors(latent, stamps, torch.ones_like(stamps))[0].amin().detach()) > 1e-4


def test_masked_pixels_do_not_count() -> None:
    decoder, latent = StampDecoder(8, 31), torch.randn(1, 8)
    stamps, masks = torch.randn(1, 3, 63, 63), torch.ones(1, 3, 63, 63)
    masks[..., :30] = 0
    spoiled = torch.where(masks > 0, stamps, torch.full_like(stamps, 1e3))
    torch.testing.assert_close(decoder.errors(latent, spoiled, masks)[0], decoder.errors(latent, stamps, masks)[0])


def test_nothing_valid_has_no_weight() -> None:
    errors, pixels = StampDecoder(8, 31).errors(torch.randn(1, 8), torch.zeros(1, 3, 63, 63), torch.zeros(1, 3, 63, 63))
    assert pixels.item() == 0
    assert torch.isfinite(errors).all()


def test_the_source_weighs_more_than_the_field() -> None:
    weight = StampDecoder(8, 31).weight
    assert weight[15, 15] == weight.max() == 1
    assert all(torch.equal(act(weight, element), weight) for element in range(ORDER))
    assert weight[0, 0] < 0.2


def test_chi_square_is_in_units_of_the_errors() -> None:
    decoder, latent = SequenceDecoder(8), torch.randn(1, 8)
    sequence, mask = torch.zeros(1, 4, 8), torch.ones(1, 4)
    error = 0.2
    sequence[..., DETECTION], sequence[..., LOG_ERROR] = 1.0, math.log(error) / 2
    total = math.hypot(error, SOFTENING)
    sequence[..., MAGNITUDE] = decoder(latent, sequence).detach() + 3 * total / 2  # three errors off, in column units
    chi_square, points = decoder.chi_square(latent, sequence, mask)
    assert points.item() == 3  # the alert itself is not among them
    assert chi_square.item() == pytest.approx(9.0, rel=1e-4)


def test_limits_and_padding_are_no_points() -> None:
    decoder, sequence = SequenceDecoder(8), torch.zeros(1, 4, 8)
    sequence[0, 1, DETECTION] = sequence[0, 3, DETECTION] = 1.0
    assert decoder.chi_square(torch.zeros(1, 8), sequence, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))[1].item() == 0
