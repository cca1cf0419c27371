"""``python -m imagery.providers.look``: ask the image model once whether it would take a call. It is free."""

from __future__ import annotations

import sys

from imagery.providers.model_watch import ModelWatch
from imagery.providers.nano_banana import NanoBanana
from imagery.settings import get_settings

_LIMIT_S = 10.0


def main() -> int:
    """Print one sentence. Returns 0 if a call would be taken."""
    found = ModelWatch(NanoBanana(get_settings())).last(_LIMIT_S)
    sys.stdout.write(f"{found or f'no answer within {_LIMIT_S:.0f} s'}\n")
    return 0 if found is not None and found.is_usable else 1


if __name__ == "__main__":
    sys.exit(main())
