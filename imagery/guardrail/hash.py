"""``python -m imagery.guardrail.hash FILE...``: perceptual hashes for BLOCKED_PICTURE_HASHES."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from imagery.guardrail.limits import PictureLimits
from imagery.guardrail.perceptual_hash import perceptual_hash
from imagery.guardrail.pictures import PictureError
from imagery.guardrail.subject import GuardrailSubject
from imagery.settings import get_settings


def main(arguments: list[str]) -> int:
    """Print the hash of each file; the exit code is 1 when one is no picture."""
    parser = argparse.ArgumentParser(prog="python -m imagery.guardrail.hash", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    code, limits = 0, PictureLimits.of(get_settings())
    for file in parser.parse_args(arguments).files:
        try:
            sys.stdout.write(
                f"{perceptual_hash(GuardrailSubject(file.read_bytes(), None, limits).small)}  {file}\n"
            )
        except (PictureError, OSError) as error:
            sys.stderr.write(f"{file}: {error}\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
