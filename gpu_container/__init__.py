"""The GPU service: background removal and upscaling over HTTP, blob names in, blob names out."""

import os

# read when onnxruntime is imported: it would keep a database of its runs in the home folder, and send it
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
