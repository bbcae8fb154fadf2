"""The seed's autoencoder has the seed's weights, and learns."""

from __future__ import annotations

import pytest
import torch

from fulgor.models.leela.vae import LATENT, SeedVae, fit_vae, vae_loss


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_weights_are_the_seeds_by_number():
    network = SeedVae()
    assert count(network) == 931_959
    assert count(network.decoder) == 359_937


def test_the_loss_is_the_summed_squared_error_and_the_divergence():
    images, rebuilt = torch.zeros(2, 1, 7, 9), torch.full((2, 1, 7, 9), 0.5)
    mean, log_variance = torch.ones(2, LATENT), torch.zeros(2, LATENT)  # half a unit from the normal, for each latent
    assert vae_loss(images, rebuilt, mean, log_variance).item() == pytest.approx(63 / 4 + LATENT / 2)
    assert vae_loss(images, rebuilt, mean, log_variance, 0.1).item() == pytest.approx(63 / 4 + LATENT / 20)


def bars(count: int = 64) -> torch.Tensor:
    """Return images of which one row is bright: the second in one half, the sixth in the other."""
    images = torch.full((count, 1, 7, 9), 0.003)
    images[: count // 2, 0, 1], images[count // 2 :, 0, 5] = 1.0, 1.0
    return images


def rms(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).square().mean().sqrt())


def test_images_are_rebuilt_better_than_by_their_mean():
    images = bars()
    rebuilt, mean, _ = fit_vae(images, epochs=20, batch=8)(images)
    assert mean.shape == (64, LATENT)
    assert rms(rebuilt, images) < 0.8 * rms(images.mean(0), images)


def test_as_written_the_images_go_out():
    images = bars()
    rebuilt = fit_vae(images, epochs=10, batch=16, as_written=True)(images)[0]
    assert rms(rebuilt, images) > rms(images.mean(0), images)


def test_another_segment_of_the_periodogram_has_another_shape():
    images = torch.rand(3, 1, 26, 9)
    rebuilt, mean, _ = SeedVae((26, 9))(images)
    assert rebuilt.shape == images.shape
    assert mean.shape == (3, LATENT)
