"""What comes from strangers: files of bounded size and known kind, Parquet within bounds, secrets hidden in texts."""
