"""Heads of scalar reward models, declared as data, built and applied."""
