"""An action -> a line in a log that can be read without the key and not rewritten with it."""
