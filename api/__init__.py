"""The HTTP face: a FastAPI app inside one Functions HTTP trigger."""
