"""Classifiers on hidden states and what they score."""
