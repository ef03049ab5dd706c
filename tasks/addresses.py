"""Addresses as a record may hold them: without what somebody could sign in with."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["is_url", "without_credentials"]

_SECRET = re.compile(
    r"(?i)^(x-amz-|x-goog-)|^(sig|se|sp|sr|sv|st|key)$|token|secret|passw|signature|credential|api_?key"
)


def is_url(text: str) -> bool:
    """Whether this is an address and no local path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def without_credentials(address: str) -> str:
    """Give an address without user and password, and without the parts of its query that sign or unlock it.

    Over ssh the user is no secret and part of the address, as in `git@host:team/project.git`; a password is one.
    """
    if not is_url(address):
        return address
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    place = f"{user.partition(':')[0]}{at}{host}" if "ssh" in parts.scheme.split("+") else host
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _SECRET.search(name)]
    query = urlencode(kept) if len(kept) != len(parse_qsl(parts.query, keep_blank_values=True)) else parts.query
    return urlunsplit((parts.scheme, place, parts.path, query, ""))
