"""A causal language model in this process as a judge, by the log-probabilities of its options."""
