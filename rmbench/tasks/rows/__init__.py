"""From a benchmark's files to examples."""
