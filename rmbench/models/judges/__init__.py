"""Judges: generative models that read the candidates and write a verdict, by declared protocols."""
