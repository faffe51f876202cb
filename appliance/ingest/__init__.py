"""Path -> Document -> Chunk -> Vector -> vault, one honest line a file."""
