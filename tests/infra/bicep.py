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

# what Bicep itself knows
_BUILT_IN_WORDS = """
concat contains empty environment format guid json length listKeys loadJsonContent loadTextContent
replace resourceGroup split startsWith string
subscription subscriptionResourceId tenant toLower union uniqueString utcNow
true false null for in if param var resource module output existing targetScope int bool object array
"""
BUILT_IN = set(_BUILT_IN_WORDS.split())


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
        return re.sub(r"^metadata .*$|^ *//.*$", "", self.text, flags=re.MULTILINE)

    @property
    def parameters(self) -> dict[str, bool]:
        """Name to whether it must be given."""
        found = re.findall(r"^param (\w+) \w+( =)?", self.code, re.MULTILINE)
        return {name: not default for name, default in found}

    @property
    def outputs(self) -> set[str]:
        return set(re.findall(r"^output (\w+) ", self.code, re.MULTILINE))

    @property
    def symbols(self) -> dict[str, str]:
        """What the file declares: name to kind."""
        kinds = "param|var|resource|module"
        return {name: kind for kind, name in re.findall(rf"^({kinds}) (\w+)", self.code, re.MULTILINE)}

    @property
    def modules(self) -> dict[str, tuple[Path, set[str]]]:
        """Name to the file it calls and the parameters it gives."""
        return {
            name: (self.path.parent / path, set(re.findall(r"^    (\w+): ", params, re.MULTILINE)))
            for name, path, params in re.findall(
                r"^module (\w+) '([^']+)'.*?^  params: \{\n(.*?)^  \}", self.code, re.MULTILINE | re.DOTALL
            )
        }

    @property
    def expressions(self) -> str:
        """The code with the words of its strings taken out, interpolations kept."""
        code = re.sub(r"'((?:[^'\\]|\\.)*)'", lambda found: _interpolated(found[1]), self.code)
        code = re.sub(r"@description\(.*\)", "", code)
        return re.sub(r"(\bfor .* in \w+):", r"\1 ", code)

    @property
    def used(self) -> set[str]:
        """Names that expressions begin with: no property names, no keys."""
        names = re.findall(r"(?<![\w.?!@])([A-Za-z_]\w*)\b(?!\s*:(?!:))", self.expressions)
        return set(names)

    def block(self, kind: str, name: str) -> str:
        """The text of one declaration."""
        found = re.search(
            rf"^{kind} {name} .*?(?=^(?:@|param|var|resource|module|output)|\Z)", self.code, re.M | re.S
        )
        assert found, f"{self.path.name} declares no {kind} {name}"
        return found[0]


def _interpolated(text: str) -> str:
    return " ".join(f"({inner})" for inner in re.findall(r"\$\{([^}]*)\}", text)) or "0"


def all_files() -> list[Bicep]:
    """Every Bicep file of the project."""
    return [Bicep(path) for path in sorted(INFRA.rglob("*.bicep"))]


def module(name: str) -> Bicep:
    """One file of infra/modules."""
    return Bicep(INFRA / "modules" / f"{name}.bicep")
