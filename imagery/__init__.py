"""The domain of the Imagery Guardrail & Hybrid Pipeline: no Azure Functions, no FastAPI in here."""

__version__ = "0.1.0"
