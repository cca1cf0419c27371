"""What the known image models can be asked for. Of a model that is not listed here the provider decides."""

from __future__ import annotations

from dataclasses import dataclass

from imagery.contracts import AspectRatio, ThinkingLevel

# strips: up to eight times as long as wide
STRIPS = frozenset(
    {
        AspectRatio.PORTRAIT_1_4,
        AspectRatio.LANDSCAPE_4_1,
        AspectRatio.PORTRAIT_1_8,
        AspectRatio.LANDSCAPE_8_1,
    }
)


@dataclass(frozen=True)
class ModelAbilities:
    """What a model takes beyond what all of them do."""

    strips: bool = True
    thinking_levels: frozenset[ThinkingLevel] = frozenset(ThinkingLevel)

    @property
    def aspect_ratios(self) -> list[AspectRatio]:
        """The aspect ratios that the model makes, in the order of the contract."""
        return [ratio for ratio in AspectRatio if self.strips or ratio not in STRIPS]


_KNOWN = {
    "gemini-nano-banana-2.1": ModelAbilities(),
    "gemini-3.1-flash-image": ModelAbilities(
        thinking_levels=frozenset({ThinkingLevel.MINIMAL, ThinkingLevel.HIGH})
    ),
    "gemini-3-pro-image": ModelAbilities(strips=False, thinking_levels=frozenset()),
}


def abilities_of(model: str) -> ModelAbilities:
    """What a model can be asked for."""
    return _KNOWN.get(model, ModelAbilities())


def not_offered(model: str, aspect_ratio: str, thinking_level: str | None) -> str | None:
    """Why the model can't be asked for this, in a sentence. Returns None if it can."""
    abilities = abilities_of(model)
    if aspect_ratio in STRIPS and not abilities.strips:
        return f"The image model {model} makes no pictures of {aspect_ratio}. Choose another aspect ratio."
    if thinking_level is None or thinking_level in abilities.thinking_levels:
        return None
    offered = ", ".join(level for level in ThinkingLevel if level in abilities.thinking_levels)
    way_out = f"Choose one of: {offered}." if offered else "Leave it out."
    return f"The image model {model} has no thinking level {thinking_level}. {way_out}"
