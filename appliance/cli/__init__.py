"""Words on the command line -> calls on the worker -> data on stdout, narration on stderr, an exit code."""
