"""Figures of the people whose own preference the rows ask for: accuracy per rater, and how far raters agree."""
