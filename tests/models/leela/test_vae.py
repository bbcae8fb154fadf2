"""The seed's autoencoder has the seed's weights, and learns."""

from __future__ import annotations

import torch

from fulgor.models.leela.vae import LATENT, SeedVae, fit_vae, vae_loss


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_weights_are_the_seeds_by_number():
    network = SeedVae()
    assert count(network) == 931_959
    assert count(network.decoder) == 359_937


def test_passes_lessen_the_loss():
    torch.set_num_threads(1)
    images = torch.zeros(8, 1, 13, 18)
    images[:4, 0, 3], images[4:, 0, 9] = 1.0, 1.0
    torch.manual_seed(0)
    fresh = vae_loss(images, *SeedVae()(images))
    fitted = fit_vae(images, epochs=2, batch=4)
    rebuilt, mean, log_variance = fitted(images)
    assert mean.shape == (8, LATENT)
    assert vae_loss(images, rebuilt, mean, log_variance) < fresh


def test_another_segment_of_the_periodogram_has_another_shape():
    images = torch.rand(3, 1, 26, 9)
    rebuilt, mean, _ = SeedVae((26, 9))(images)
    assert rebuilt.shape == images.shape
    assert mean.shape == (3, LATENT)
