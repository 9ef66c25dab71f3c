"""Rules on class labels: confusion matrices, F1, kappa, AUC."""
