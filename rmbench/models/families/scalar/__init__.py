"""Scalar (Bradley-Terry) reward models: a backbone and a head that makes one number of a state."""
