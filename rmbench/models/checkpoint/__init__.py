"""Checkpoints: downloaded, read, checked and loaded; no tensor is dropped silently or initialised at random."""
