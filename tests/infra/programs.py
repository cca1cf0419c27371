"""Stand-ins for the programs that the hooks call: they note how, and print what a test says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from testbed.stack import ROOT

_PROGRAM = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
line = " ".join([{name!r}, *sys.argv[1:]])
with (folder / "calls").open("a") as calls:
    calls.write(line + "\\n")
for part, text, code in json.loads((folder / "answers").read_text()):
    if part in line:
        print(text)
        sys.exit(code)
"""


@dataclass
class Programs:
    """``az``, ``azd``, ``docker`` and ``sleep`` of a hook. ``answers``: part of a call to what it prints and
    its exit status; the first one that fits counts, and a call that none fits succeeds in silence.
    """

    folder: Path
    answers: dict[str, tuple[str, int]] = field(default_factory=dict)

    def run(self, hook: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one file of infra/hooks in the repository."""
        self.folder.mkdir(exist_ok=True)
        listed = [[part, text, code] for part, (text, code) in self.answers.items()]
        (self.folder / "answers").write_text(json.dumps(listed))
        (self.folder / "calls").write_text("")
        for name in ("az", "azd", "docker", "sleep"):
            program = self.folder / name
            program.write_text(_PROGRAM.format(python=sys.executable, folder=str(self.folder), name=name))
            program.chmod(0o755)
        known = {"PATH": f"{self.folder}:{os.environ['PATH']}", "TMPDIR": str(self.folder), **environment}
        return subprocess.run(
            ["sh", f"infra/hooks/{hook}.sh"],
            cwd=ROOT,
            env=known,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def calls(self, part: str) -> list[str]:
        """The calls that contain ``part``, in their order."""
        return [line for line in (self.folder / "calls").read_text().splitlines() if part in line]

    def was_set(self) -> dict[str, str]:
        """What the hook wrote into azd's environment."""
        words = [shlex.split(line) for line in self.calls("azd env set ")]
        return {each[3]: " ".join(each[4:]) for each in words}
