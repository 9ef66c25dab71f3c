"""The transport that judges and served models share: connections, requests, replies, processes."""
