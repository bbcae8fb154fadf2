from __future__ import annotations

import math

import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.images import DIFFERENCE, STAMPS, ImageChoice, averaged, significance
from fulgor.models.symmetry import ORDER, act


def stamps() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    masks = (torch.rand(4, 3, 21, 21) > 0.1).float()
    return 3 * torch.randn(4, 3, 21, 21) * masks, masks


def test_the_three_stamps_are_passed_on_as_they_are() -> None:
    given = stamps()
    assert all(found is part for found, part in zip(ImageChoice(STAMPS)(*given), given, strict=True))


def test_the_images_are_those_chosen_in_their_order() -> None:
    given, masks = stamps()
    images, valid = ImageChoice(("template", "science"))(given, masks)
    assert torch.equal(images, given[:, [1, 0]])
    assert torch.equal(valid, masks[:, [1, 0]])


@pytest.mark.parametrize("names", [(), ("science", "science"), ("sky",)])
def test_no_image_an_unknown_one_and_one_twice_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="choose among science, template, difference, snr"):
        ImageChoice(names)


def test_the_significance_of_a_star_is_that_of_the_matched_filter() -> None:
    """On unit noise the matched filter of flux f has f * sqrt(sum(P^2)) at the star."""
    choice = ImageChoice(("snr",))
    flux = 200.0
    image = torch.zeros(1, 3, 21, 21)
    image[0, DIFFERENCE, 8:13, 8:13] = flux * choice.psf[0, 0]
    found, _ = choice(torch.asinh(image), torch.ones_like(image))
    assert math.sinh(float(found[0, 0, 10, 10])) == pytest.approx(flux * float((choice.psf**2).sum().sqrt()), rel=1e-4)
    assert int(found.argmax()) == 10 * 21 + 10


def test_the_significance_of_noise_has_unit_spread() -> None:
    torch.manual_seed(0)
    noise = torch.asinh(torch.randn(200, 1, 21, 21))
    found = torch.sinh(significance(noise, torch.ones_like(noise), ImageChoice().psf))
    assert float(found.std()) == pytest.approx(1.0, abs=0.03)


def test_masked_pixels_have_no_significance_and_lend_none() -> None:
    given, masks = stamps()
    choice = ImageChoice(("snr",))
    found, valid = choice(given, masks)
    other, _ = choice(given + 5.0 * (1 - masks), masks)
    assert torch.equal(found, other)
    assert (found[valid == 0] == 0).all()
    blind, _ = choice(given, torch.zeros_like(masks))
    assert (blind == 0).all()


def test_averages_are_over_valid_pixels() -> None:
    image = torch.arange(36.0).reshape(1, 1, 6, 6)
    mask = torch.ones_like(image)
    mask[0, 0, 0, 0] = 0
    mask[0, 0, 3:, 3:] = 0
    coarse, valid = averaged(image, mask, 3)
    assert float(coarse[0, 0, 0, 0]) == pytest.approx((0 + 1 + 2 + 6 + 7 + 8 + 12 + 13 + 14) / 8)
    assert valid.flatten().tolist() == pytest.approx([8 / 9, 1, 1, 0])
    assert float(coarse[0, 0, 1, 1]) == 0


def test_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="no whole blocks of 4 px"):
        averaged(torch.zeros(1, 1, 21, 21), torch.zeros(1, 1, 21, 21), 4)


@pytest.mark.parametrize("element", range(ORDER))
def test_all_of_it_turns_with_the_stamps(element: int) -> None:
    given, masks = stamps()
    choice = ImageChoice(("snr", "science"))
    for whole, turned in zip(
        (*choice(given, masks), *averaged(given, masks, 3)),
        (*choice(act(given, element), act(masks, element)), *averaged(act(given, element), act(masks, element), 3)),
        strict=True,
    ):
        torch.testing.assert_close(turned, act(whole, element), rtol=1e-5, atol=1e-5)
