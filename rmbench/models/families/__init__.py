"""The families of model: each a way to turn a checkpoint into a scorer."""
