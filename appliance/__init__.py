"""A question and a folder of documents -> an answer that cites the page, or a plain refusal."""

import os

# Since 1.29 ONNX Runtime, by being imported, writes a device id and a database of events under ~/.cache and
# uploads them. This is its full opt-out, to be set before that import (microsoft/onnxruntime, #27379).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# The worker is confined by its own thread, and threads that exist already would stay free (sandbox.py).
os.environ["OPENBLAS_NUM_THREADS"] = "1"

__version__ = "0.1.0"
