"""A benchmark's files into examples."""
