"""Probes of hidden states: the "probe" rule (`probes`), linear probes and their accuracy, class centroids, standardised
states.
"""
