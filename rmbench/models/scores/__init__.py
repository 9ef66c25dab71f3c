"""Scores and verdicts computed elsewhere, read from files."""
