"""What a file's Content Credentials say, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from imagery_client.model import Credentials, CredentialsState, Manifest

_SAYS = {
    CredentialsState.NONE: "no Content Credentials",
    CredentialsState.TRUSTED: "trusted: not changed since it was signed, by a signer on the trust list",
    CredentialsState.VALID: "valid: not changed since it was signed, by a signer not on the trust list",
    CredentialsState.BROKEN: "broken: changed after it was signed, or made from something that was",
}
STYLES = {CredentialsState.TRUSTED: "green", CredentialsState.VALID: "yellow", CredentialsState.BROKEN: "red"}


def lines(name: str, found: Credentials) -> Iterator[tuple[str, str]]:
    """Each line and its style."""
    says = _SAYS.get(found.state, found.state)
    yield f"{name}  {says}", STYLES.get(found.state, "")
    if found.reasons:
        yield f"  because of {', '.join(found.reasons)}", ""
    if found.says_ai:
        yield "  it says that a model made it, or a part of it", ""
    if found.manifest is not None:
        yield from _manifest(found.manifest, "  ")
    for each in found.ingredients:
        indent = "  " * each.depth + "  "
        title = f"{each.relationship} {each.title or each.content_type or ''}".rstrip()
        yield f"{indent}{title}: {each.state}", STYLES.get(each.state, "")
        if each.manifest is not None:
            yield from _manifest(each.manifest, indent + "  ")
    if found.is_cut:
        yield "  … and more", ""


def _manifest(manifest: Manifest, indent: str) -> Iterator[tuple[str, str]]:
    signer = manifest.signer or "an unknown signer"
    issuer = f" ({manifest.issuer})" if manifest.issuer else ""
    yield f"{indent}signed by {signer}{issuer} with {manifest.claim_generator or 'an unknown program'}", ""
    for action in manifest.actions:
        source = (action.digital_source_type or "").rpartition("/")[2]
        more = " ".join(each for each in (source, action.software_agent) if each)
        yield f"{indent}  {action.action} {more}".rstrip(), "dim"
