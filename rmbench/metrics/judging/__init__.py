"""Judges beyond their accuracy: votes, position bias, intransitive margins, and the values a record reports of them
(`summary`).
"""
