"""Baselines that every reward model should beat: they look at the text and know nothing of preferences."""
