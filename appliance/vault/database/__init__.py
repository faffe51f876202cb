"""Rows and bit vectors <-> one SQLite file whose pages are encrypted, and a rank for what is found in it."""
