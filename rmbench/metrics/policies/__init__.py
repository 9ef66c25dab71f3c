"""Rules over a policy's likelihoods (`idealised`)."""
