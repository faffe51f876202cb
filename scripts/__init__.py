"""The factory: what makes models and measures them; never shipped."""
