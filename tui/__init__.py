"""Events from the worker -> screens; keys -> messages -> the worker."""
