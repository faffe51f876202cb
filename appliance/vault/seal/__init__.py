"""A store and its anchor -> what of it is authentic, whole and the newest; each change sealed anew."""
