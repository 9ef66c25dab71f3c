"""Rank and linear correlations, within lists, groups and against human ratings."""
