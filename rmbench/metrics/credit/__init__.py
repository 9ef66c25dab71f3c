"""What each row earns under a rule."""
