"""A board as a static page."""
