"""LEELA's models: the network that ships, the seed's variational autoencoder as a baseline, and their training."""
