"""The guardrail: admits or refuses an image, with numbers."""

from imagery.guardrail.examine import Examination, examine

__all__ = ["Examination", "examine"]
