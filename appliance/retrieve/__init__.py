"""Question -> Hit -> fuse -> Passage + Evidence, or not near enough."""
