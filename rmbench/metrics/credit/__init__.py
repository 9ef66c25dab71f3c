"""The credit of a row under a linear rule (`row`): both orders, human ties, candidates of a row and their best-of-k
curve, intransitive comparisons.
"""
