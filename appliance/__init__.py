"""A question and a folder of documents -> an answer that cites the page, or a plain refusal."""

__version__ = "0.1.0"
