"""The C2PA library with our settings: whom we trust, and no network."""

from __future__ import annotations

import json
from typing import Any

import c2pa

# a store is unpacked up to this size
_MAX_UNPACKED_MB = 32


def reading_context(anchors_pem: str) -> c2pa.Context:
    """A context to read with. ``anchors_pem``: certificates of the CAs that we trust; may be empty.

    A manifest that lies at another host is not fetched, nor is a certificate's status.
    """
    return _context(anchors_pem, {"allowed_network_hosts": []})


def signing_context(anchors_pem: str, timestamp_host: str | None) -> c2pa.Context:
    """A context to sign with, which may call the time stamp authority and nothing else."""
    hosts = [timestamp_host] if timestamp_host else []
    return _context(anchors_pem, {"allowed_network_hosts": hosts})


def _context(anchors_pem: str, core: dict[str, Any]) -> c2pa.Context:
    settings = {
        "version": 1,
        "core": core
        | {
            "allow_redirects": False,
            "decode_identity_assertions": False,
            "max_decompressed_manifest_size_in_mb": _MAX_UNPACKED_MB,
        },
        "verify": {
            "verify_trust": True,
            "verify_timestamp_trust": True,
            "ocsp_fetch": False,
            "remote_manifest_fetch": False,
            # signing reads every ingredient itself; what comes out is read again by our tests
            "verify_after_sign": True,
        },
        "builder": {"thumbnail": {"enabled": False}},
    }
    if anchors_pem:
        settings["trust"] = {"trust_anchors": anchors_pem}
    return c2pa.Context.from_json(json.dumps(settings))
