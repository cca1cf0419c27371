"""The GPU service: background removal and upscaling over HTTP, blob names in, blob names out."""
