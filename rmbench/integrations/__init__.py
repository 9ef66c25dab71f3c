"""What other libraries call: each module is named for the library whose users it serves."""
