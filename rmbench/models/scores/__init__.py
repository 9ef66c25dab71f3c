"""Score files: rewards or verdicts that were computed elsewhere."""
