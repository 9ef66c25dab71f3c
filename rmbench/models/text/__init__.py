"""Conversations into token ids: chat template, special tokens, truncation."""
