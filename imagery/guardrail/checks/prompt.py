"""The placement prompt: it becomes part of an instruction to a model that costs money."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Protocol

from imagery.contracts import CheckResult
from imagery.guardrail.checks.base import failed, passed
from imagery.guardrail.limits import PictureLimits

# direction marks, joiners and the mark at the begin of a text are left alone: several scripts and emoji are
# written with them. Overrides of the direction, controls and tag letters hide what a person would read.
_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202d\\u202e\\ud800-\\udfff\\U000e0000-\\U000e007f]"
)
# flags of parts of a country, such as Scotland's, are spelt in tag letters behind a black flag
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
_JOINERS = re.compile("[\\u00ad\\u200b-\\u200f\\u202a-\\u202c\\u2060-\\u2069\\ufe00-\\ufe0f\\ufeff]")
# an order to the model names what the model was told; a scene has filters, rules of thirds and directions too
_DROP = r"\b(?:ignore|disregard|forget|override|bypass|skip|circumvent|overrule)\b"
_EARLIER = (
    r"\b(?:previous|prior|above|earlier|preceding|foregoing|existing|original|initial|system|your|all|any|these"
    r"|those|the)\b"
)
_TOLD = (
    r"(?:instructions?|prompts?|guidelines?|polic(?:y|ies)|directives?|commands?|system messages?|training"
    r"|(?:safety|content) (?:filters?|rules?|checks?|settings?)|restrictions?"
    r"|rules?(?! of\b| about\b| for\b))\b"
)
_OTHERS_DROP = (
    r"(?:ignor(?:ier\w*|ez|a|e|ar|are|em)|vergiss|vergesst|missachte\w*|umgehe|oublie[zr]?|olvid[ae]\w*|esque[cç]\w*"
    r"|dimentica\w*|игнориру\w*|забудь\w*)"
)
_OTHERS_TOLD = (
    r"(?:anweisung\w*|instruktion\w*|vorgaben|systemprompt\w*|instructions?|consignes|instrucciones|instrucción"
    r"|istruzion\w*|instruç\w*|инструкци\w*|указани\w*|правила\b)"
)
_INJECTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_DROP}.{{0,30}}{_EARLIER}.{{0,25}}\b{_TOLD}",
        r"\b(?:do not|don't|never|stop) (?:follow(?:ing)?|obey(?:ing)?|apply(?:ing)?)\b.{0,20}"
        r"\b(?:your|previous|prior|above|earlier|system|safety|content)\b.{0,20}\b" + _TOLD,
        r"\b(?:reveal|print|show|repeat|output|leak|tell me|write out|display)\b.{0,30}"
        r"\b(?:(?:system|hidden|initial|secret|original|your)\b.{0,12}\b(?:prompts?|instructions?)"
        r"|system messages?|api keys?)\b",
        r"\byou are (?:now |no longer )(?:an? |the )?(?:\w+ ){0,2}?(?:ai|assistant|model|chatbot|dan|bound"
        r"|restricted|limited|unrestricted|unfiltered|jailbroken)\b",
        r"\b(?:developer|god|dan|jailbreak(?:ed)?|unrestricted|unfiltered) mode\b|\bjailbreak\b",
        r"\bnew (?:system )?instructions?\s*:",
        r"\b(?:act|behave|respond|answer) as (?:an? |the )?(?:\w+ )?"
        r"(?:unrestricted|unfiltered|uncensored|jailbroken)\b",
        r"\b(?:disable|turn off|switch off|remove|deactivate)\b.{0,20}\b(?:safety|content|moderation)\b"
        r".{0,12}\b(?:filters?|checks?|settings?|rules?|polic(?:y|ies))\b",
        r"</?\s*(?:system|assistant|user|instructions?|tool)\s*>|\[/?inst\]|<\|[a-z_]{2,20}\|>",
        rf"\b{_OTHERS_DROP}\b.{{0,40}}\b{_OTHERS_TOLD}",
        r"(?:忽略|无视|無視|忘记|忘掉|忽視).{0,14}(?:指令|指示|说明|說明|提示|规则|規則|命令)",
        r"(?:指示|命令|指令|プロンプト|ルール)を?.{0,6}(?:無視|忘れ)",
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
    """Characters that hide a text from its reader: controls, direction overrides, tag letters."""

    name: ClassVar[str] = "prompt_characters"

    def run(self, prompt: str, limits: PictureLimits) -> CheckResult:
        """Count hidden characters."""
        hidden = _HIDDEN.findall(_FLAG.sub("", prompt))
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
