"""The placement prompt: it becomes part of an instruction to a model that costs money."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Protocol

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.limits import PictureLimits

# joiners are left alone: emoji and several scripts are written with them
_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff"
    "\\ud800-\\udfff\\U000e0000-\\U000e007f]"
)
_JOINERS = re.compile("[\\u00ad\\u200c\\u200d\\ufe00-\\ufe0f]")
_BEFORE = r"(?:previous|prior|above|earlier|preceding|foregoing|existing|system|safety|content)"
_RULES = r"(?:instruction|prompt|rule|direction|command|guideline|polic|filter|restriction)"
_INJECTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:ignore|disregard|forget|override|bypass|skip|circumvent)\b.{{0,40}}\b{_BEFORE}\b.{{0,40}}{_RULES}",
        rf"\b(?:ignore|disregard|forget|override|bypass)\b.{{0,20}}\b(?:all|any|your|the|these)\b.{{0,20}}{_RULES}",
        r"\b(?:reveal|print|show|repeat|output|leak)\b.{0,30}\b(?:system|hidden|initial|secret)\b.{0,20}\b"
        r"(?:prompt|instruction|message|key)",
        r"\byou are (?:now|no longer)\b.{0,40}\b(?:an?|bound|restricted|model|assistant|dan)\b",
        r"\b(?:developer|god|dan|jailbreak(?:ed)?|unrestricted|unfiltered) mode\b",
        r"\bnew (?:system )?instructions?\s*:",
        r"</?\s*(?:system|assistant|user|instructions?|tool)\s*>|\[/?inst\]|<\|[a-z_]{2,20}\|>",
        r"\b(?:do not|don't|never) (?:follow|obey|apply)\b.{0,30}" + _RULES,
    )
)
# a line that begins as a turn of a conversation does
_SPEAKER = re.compile(r"^(?:system|assistant|user)\s*:", re.MULTILINE)


class PromptCheck(Protocol):
    """One check of the scene's description."""

    name: ClassVar[str]

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Measure and judge."""
        ...


class PromptLengthCheck:
    """Characters of the prompt."""

    name: ClassVar[str] = "prompt_length"

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Count characters."""
        most = limits.max_prompt_chars
        measured, limit = f"{len(prompt)} characters", f"1 to {most} characters"
        if not prompt.strip():
            message = "The prompt is empty: describe the scene, or leave it off to use the default one."
            return failed(self.name, measured, limit, "prompt_empty", message)
        if len(prompt) > most:
            message = f"The prompt has {len(prompt)} characters, the limit is {most}: shorten it."
            return failed(self.name, measured, limit, "prompt_too_long", message)
        return passed(self.name, measured, limit)


class PromptCharactersCheck:
    """Invisible characters: control characters, direction overrides, tag letters."""

    name: ClassVar[str] = "prompt_characters"

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Count hidden characters."""
        hidden = _HIDDEN.findall(prompt)
        measured, limit = f"{len(hidden)} hidden characters", "0"
        if hidden:
            first = f"U+{ord(hidden[0]):04X}"
            message = f"The prompt holds control or invisible characters, such as {first}: remove them."
            return failed(self.name, measured, limit, "prompt_control_characters", message)
        return passed(self.name, measured, limit)


class PromptInjectionCheck:
    """Phrases that speak to the model instead of describing a scene."""

    name: ClassVar[str] = "prompt_injection"

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Search for known phrases in the folded text."""
        # whatever is longer has been rejected for that; the search stays cheap
        text = fold(prompt[: limits.max_prompt_chars])
        line = " ".join(text.split())
        matches = (_SPEAKER.search(text), *(each.search(line) for each in _INJECTIONS))
        found = next((match.group(0) for match in matches if match), None)
        if found:
            message = (
                f"The prompt instructs the model instead of describing a scene ('{found[:60]}'): "
                "describe what should be seen."
            )
            return failed(self.name, "found", "no instructions to the model", "prompt_injection", message)
        return passed(self.name, "none", "no instructions to the model")


class PromptBlockListCheck:
    """Words that the operator does not want."""

    name: ClassVar[str] = "prompt_block_list"

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Search for whole words."""
        limit = f"{len(limits.blocked_prompt_words)} blocked words"
        text = fold(prompt[: limits.max_prompt_chars])
        for word in limits.blocked_prompt_words:
            if re.search(rf"(?<!\w){re.escape(fold(word))}(?!\w)", text):
                message = "The prompt holds a word that is not allowed here: describe the scene without it."
                return failed(self.name, "found", limit, "prompt_blocked", message)
        return passed(self.name, "none", limit)


def fold(text: str) -> str:
    """``text`` as it is compared: compatibility forms, no case, no joiners, single blanks."""
    plain = _JOINERS.sub("", unicodedata.normalize("NFKC", text)).casefold()
    return "\n".join(" ".join(line.split()) for line in plain.splitlines())


PROMPT_CHECKS: tuple[PromptCheck, ...] = (
    PromptLengthCheck(),
    PromptCharactersCheck(),
    PromptInjectionCheck(),
    PromptBlockListCheck(),
)
