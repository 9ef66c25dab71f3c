"""Models computed by servers or read from batch files: judges, and scalar models behind a pooling endpoint."""
