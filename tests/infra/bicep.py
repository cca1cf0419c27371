"""The Bicep files as far as tests look at them: parsed, and read for what names what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pycep import BicepParser

ROOT = Path(__file__).parent.parent.parent
INFRA = ROOT / "infra"
_PARSER = BicepParser()


@dataclass(frozen=True)
class Bicep:
    """One file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The syntax tree. Raises the parser's error."""
        return dict(_PARSER.parse(text=self.text))

    @property
    def code(self) -> str:
        """The text without comments and metadata."""
        return re.sub(r"^(?:metadata|import|#disable) .*$|^#.*$|^ *//.*$", "", self.text, flags=re.MULTILINE)

    @property
    def parameters(self) -> dict[str, bool]:
        """Name to whether it must be given."""
        found = re.findall(r"^param (\w+) \w+(?:\[\])?( =)?", self.code, re.MULTILINE)
        return {name: not default for name, default in found}

    @property
    def outputs(self) -> set[str]:
        return set(re.findall(r"^output (\w+) ", self.code, re.MULTILINE))

    def block(self, kind: str, name: str) -> str:
        """The text of one declaration."""
        found = re.search(
            rf"^{kind} {name} .*?(?=^(?:@|param|var|resource|module|output)|\Z)", self.code, re.M | re.S
        )
        assert found, f"{self.path.name} declares no {kind} {name}"
        return found[0]


def all_files() -> list[Bicep]:
    """Every Bicep file that deploys something."""
    return [Bicep(path) for path in sorted(INFRA.rglob("*.bicep")) if path.stem != "types"]


def module(name: str) -> Bicep:
    """One file of infra/modules."""
    return Bicep(INFRA / "modules" / f"{name}.bicep")
