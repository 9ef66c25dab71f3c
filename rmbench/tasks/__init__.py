"""Benchmarks as data: declarations, where their rows come from, and rows made into examples."""
