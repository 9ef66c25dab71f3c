"""Benchmarks with tied responses."""
