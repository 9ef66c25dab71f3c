"""A user's own rows as a task: which columns hold what is recognised by their names and values."""
