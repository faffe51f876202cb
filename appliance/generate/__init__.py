"""Question + Passage -> Prompt -> Delta -> checked sentences with citations."""
