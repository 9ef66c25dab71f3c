"""Error bars: intervals, bootstrap, clustered samples."""
