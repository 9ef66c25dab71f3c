"""The numbers of a table held against records."""
