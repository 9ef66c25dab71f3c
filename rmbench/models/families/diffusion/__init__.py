"""Diffusion models as implicit reward models: how much better than its reference a model denoises an image."""
