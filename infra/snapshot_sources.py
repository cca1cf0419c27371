"""What the snapshots in infra/snapshots were made of: ``python -m infra.snapshot_sources``.

infra/lint.sh runs it after Microsoft's compiler has renewed them. Where there is no compiler, a test compares
these hashes with the files, so a change of Bicep without its snapshots is noticed everywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

INFRA = Path(__file__).parent
HASHES = INFRA / "snapshots/sources.json"
_LOADED = re.compile(r"\bload\w+\(\s*'([^']+)'")


def sources() -> dict[str, str]:
    """SHA-256 of Bicep and parameter files, of what they load, and of the snapshots, by path in infra/."""
    files = {
        *INFRA.rglob("*.bicep"),
        *INFRA.glob("snapshots/*.bicepparam"),
        *INFRA.glob("snapshots/*.snapshot.json"),
    }
    loaded = {
        (file.parent / name).resolve()
        for file in files
        if file.suffix == ".bicep"
        for name in _LOADED.findall(file.read_text())
    }
    return {
        file.relative_to(INFRA).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(files | loaded)
    }


def main() -> int:
    """Write the hashes."""
    HASHES.write_text(json.dumps(sources(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
