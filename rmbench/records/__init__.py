"""Records of finished runs, and the journal of the run under way."""
