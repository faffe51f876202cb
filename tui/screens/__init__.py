"""Messages from the worker -> what is seen; commands -> calls of the link."""
