"""What is measured of judges beside their accuracy: votes, position bias, intransitive verdicts."""
