"""Documents, chunks and vectors <-> one encrypted folder that a reviewer can audit."""
