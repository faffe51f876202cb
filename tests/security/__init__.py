"""The installed program and a folder on disk -> every row of the security checklist, tried from outside."""
