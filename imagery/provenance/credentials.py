"""What a file's Content Credentials say: a small summary with limits, whatever the file holds."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from imagery.contracts import Message

_NEWSCODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# kinds of source that mean: made, in part or as a whole, by a trained model
AI_SOURCES = frozenset(
    f"{_NEWSCODES}{name}"
    for name in ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
)
MAX_DEPTH = 8
MAX_INGREDIENTS = 32
MAX_ACTIONS = 16
MAX_REASONS = 8
MAX_TEXT = 120


class CredentialsState(StrEnum):
    """How far a manifest, or a chain of them, can be believed."""

    NONE = "none"
    TRUSTED = "trusted"
    VALID = "valid"
    BROKEN = "broken"


class DeliveredCredentials(StrEnum):
    """What is known of a job's picture without reading it.

    ``TRUSTED``, ``VALID``, ``BROKEN``: it is signed here, and this was the state of the whole chain.
    ``UNTOUCHED``: delivered without our signature, with what the image model's provider says as it came.
    ``WAITING``: paid and kept, and not delivered before it can be signed.
    """

    TRUSTED = "trusted"
    VALID = "valid"
    BROKEN = "broken"
    UNTOUCHED = "untouched"
    UNSIGNED = "unsigned"
    WAITING = "waiting"


_RANK = (CredentialsState.NONE, CredentialsState.TRUSTED, CredentialsState.VALID, CredentialsState.BROKEN)


def worst(*states: CredentialsState) -> CredentialsState:
    """The state of a chain: none better than that of its weakest manifest. A file without one does not
    count, because it claims nothing.
    """
    return max(states, key=_RANK.index, default=CredentialsState.NONE)


class CredentialAction(Message):
    """One thing that was done to a picture, as its signer says."""

    action: str = Field(description="Such as `c2pa.created`, `c2pa.edited` or `c2pa.placed`.")
    software_agent: str | None = Field(default=None, description="What did it, with its version.")
    digital_source_type: str | None = Field(default=None, description="A term of IPTC, as a URL.")
    when: str | None = None


class Manifest(Message):
    """One signed statement."""

    state: CredentialsState = Field(description="Of this statement alone.")
    reasons: tuple[str, ...] = Field(default=(), description="Status codes of C2PA: why it is not trusted.")
    signer: str | None = Field(default=None, description="Name in the signer's certificate.")
    issuer: str | None = Field(default=None, description="Organisation in the signer's certificate.")
    signed_at: str | None = Field(
        default=None, description="Time stamp of an authority that we trust, if any."
    )
    claim_generator: str | None = Field(default=None, description="The program that made it.")
    digital_source_types: tuple[str, ...] = ()
    actions: tuple[CredentialAction, ...] = ()


class Ingredient(Message):
    """A picture that went into another one."""

    depth: int = Field(description="1: of the file itself; 2: of an ingredient of depth 1 before it.")
    relationship: str = Field(description="`parentOf`, `componentOf` or `inputTo`.")
    title: str | None = None
    content_type: str | None = None
    state: CredentialsState = Field(description="The worst of its own manifest and of its ingredients'.")
    reasons: tuple[str, ...] = ()
    manifest: Manifest | None = Field(default=None, description="Null where it came without one.")


class Credentials(Message):
    """The whole chain of a file.

    A chain is as good as its weakest manifest: a picture that was signed over a broken ingredient is
    broken, however good the signature on top is.
    """

    state: CredentialsState = Field(description="The worst of all manifests in the file.")
    reasons: tuple[str, ...] = Field(default=(), description="Why the state is not better.")
    manifest: Manifest | None = Field(default=None, description="The file's own, the top of the chain.")
    ingredients: tuple[Ingredient, ...] = Field(default=(), description="The tree, depth first.")
    is_cut: bool = Field(default=False, description="There is more than is listed.")
    says_ai: bool = Field(default=False, description="A manifest, or XMP, says that a model made it.")


NO_CREDENTIALS = Credentials(state=CredentialsState.NONE)


def unreadable(reason: str) -> Credentials:
    """Of a file that brought its reader down: nothing that it says counts."""
    return Credentials(state=CredentialsState.BROKEN, reasons=(reason,))
