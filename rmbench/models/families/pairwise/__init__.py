"""Models that read two answers at once and say which is better."""
