"""Implicit rewards: what a policy's log-probabilities say of an answer."""
