"""A rater's earlier choices as context before the rows that ask for this rater's preference."""
