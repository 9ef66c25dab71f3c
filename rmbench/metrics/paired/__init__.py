"""Two models on the same rows: differences of credits (`difference`), their interval and tests (`comparison`)."""
