"""Scalar reward models on a vision-language backbone: what a conversation shows is read with its texts."""
