"""What a task's TOML may say, and the checks of it."""
