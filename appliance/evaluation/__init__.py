"""A question set, and whom to ask -> a line of figures a question -> a table, and two runs' difference."""
