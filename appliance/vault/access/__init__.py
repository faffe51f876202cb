"""A secret and a vault folder -> the data key, for as long as the vault may be open."""
