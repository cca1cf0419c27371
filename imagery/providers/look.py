"""``python -m imagery.providers.look``: ask each provider once whether it would take a call. It is free."""

from __future__ import annotations

import sys

from imagery.providers.choice import make_providers
from imagery.providers.model_watch import ModelWatch
from imagery.settings import get_settings

_LIMIT_S = 10.0


def main() -> int:
    """Print one sentence for each provider. Returns 0 if all would take a call."""
    are_good = True
    for provider in make_providers(get_settings()):
        found = ModelWatch(provider).last(_LIMIT_S)
        sys.stdout.write(f"{provider.name}: {found or f'no answer within {_LIMIT_S:.0f} s'}\n")
        are_good &= found is not None and found.is_usable
    return 0 if are_good else 1


if __name__ == "__main__":
    sys.exit(main())
