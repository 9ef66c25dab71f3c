"""Which properties of answers a preference follows: a logistic fit with a Laplace prior, and how alike two fits are."""
