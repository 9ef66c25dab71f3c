"""The engine: requests into batches, batches into judgments."""
