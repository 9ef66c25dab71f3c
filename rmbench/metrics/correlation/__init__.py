"""Rank and linear correlations (`coefficients`) with ratings, within lists and with graded preferences, and accuracy
with calibrated ties within groups.
"""
