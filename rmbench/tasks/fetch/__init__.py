"""Bringing the files of benchmarks into a folder: from the hub at the declared revision, or from git at the commit."""
