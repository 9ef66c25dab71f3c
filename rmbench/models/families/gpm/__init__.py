"""General preference models (GPM, arXiv 2410.02197): an embedding per answer, a skew-symmetric margin per pair."""
