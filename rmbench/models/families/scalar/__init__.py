"""Scalar (Bradley-Terry) reward models: a backbone, and a head that maps a hidden state to one number."""
