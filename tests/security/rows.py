"""Every module with rows, in the order of the checklist."""

from __future__ import annotations

import importlib

MODULES = ("rest", "keys", "store", "audit", "sandbox", "egress", "hostile", "terminal", "leaks", "supply")


def load() -> None:
    """Import them, which registers their rows."""
    for name in MODULES:
        importlib.import_module(f"tests.security.{name}")
