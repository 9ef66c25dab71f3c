"""A row's gold (`gold`) and answer (`answers`) as metrics read them, and which rows a metric counts (`selection`)."""
