"""An untrusted file -> Parsed: `nursery` asks, `helper` forks, `formats` chooses, one file a format reads."""
