"""State, given down as calls of `show` -> what is seen; keys -> wishes, sent up as messages."""
