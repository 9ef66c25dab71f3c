"""Human ties and several right answers: calibrated tie thresholds, and RewardBench 2's Ties score."""
