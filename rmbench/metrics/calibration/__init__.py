"""What a margin is worth as a probability: confidence against accuracy (`reliability`) and the scale of the margins
(`temperature`).
"""
