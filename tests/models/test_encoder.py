from __future__ import annotations

import pytest
import torch

from fulgor.errors import ModelError
from fulgor.models.encoder import CHAINS, StampEncoder, central_crop


@pytest.mark.parametrize("size", sorted(CHAINS))
def test_shape(size: int) -> None:
    assert StampEncoder(size, 2, 64)(torch.zeros(3, 3, 63, 63), torch.ones(3, 3, 63, 63)).shape == (3, 64)


def test_crop_is_central() -> None:
    x = torch.arange(49.0).reshape(1, 1, 7, 7)
    assert torch.equal(central_crop(x, 3), x[..., 2:5, 2:5])
    assert torch.equal(central_crop(x, 7), x)


@pytest.mark.parametrize("size", [6, 9])
def test_crop_that_cannot_be_central_is_refused(size: int) -> None:
    with pytest.raises(ModelError, match="cannot be cropped"):
        central_crop(torch.zeros(7, 7), size)


def test_unknown_size_is_refused() -> None:
    with pytest.raises(ModelError, match=r"20 px; choose one of \[21, 31, 63\]"):
        StampEncoder(20, 2, 64)


def test_a_chain_that_breaks_the_rule_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHAINS, 63, ((3, 2), (2, 2)))
    with pytest.raises(ModelError, match="layer conv1: input size 31 with kernel 2"):
        StampEncoder(63, 2, 64)


def test_the_latent_sees_the_masks() -> None:
    torch.manual_seed(0)
    encoder, stamps, masks = StampEncoder(31, 2, 64), torch.zeros(1, 3, 63, 63), torch.ones(1, 3, 63, 63)
    holed = masks.clone()
    holed[..., 20:40, 20:30] = 0
    assert not torch.allclose(encoder(stamps, masks), encoder(stamps, holed))


def test_two_scales_see_what_lies_outside_of_the_fine_one() -> None:
    torch.manual_seed(0)
    encoder, fine = StampEncoder(21, 2, 64, coarse=63), StampEncoder(21, 2, 64)
    stamps, masks = torch.zeros(1, 3, 63, 63), torch.ones(1, 3, 63, 63)
    other = stamps.clone()
    other[..., 5:9, 5:9] = 3.0
    assert not torch.allclose(encoder(stamps, masks), encoder(other, masks))
    assert torch.equal(fine(stamps, masks), fine(other, masks))


@pytest.mark.parametrize(("size", "coarse"), [(21, 62), (21, 21), (31, 63), (21, 84), (21, -63)])
def test_a_coarse_field_that_is_no_multiple_is_refused(size: int, coarse: int) -> None:
    with pytest.raises(ModelError, match=f"a coarse field of {coarse} px cannot be averaged down to {size} px"):
        StampEncoder(size, 2, 64, coarse=coarse)
