"""Rows as metrics read them: answers, gold, selection."""
