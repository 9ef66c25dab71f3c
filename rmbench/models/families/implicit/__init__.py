"""Implicit rewards: functions of a policy's log-probabilities of an answer."""
