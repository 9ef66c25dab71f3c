"""The whole way of a run: options, session, compatibility, rows to records, and what is done with several of them."""
