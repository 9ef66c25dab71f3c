"""Rules about policies: idealised accuracies and the ranking of policies."""
