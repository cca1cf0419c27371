"""Content Credentials (C2PA): what a picture says of itself, and how ours say it."""
