"""Logins for private repositories, from Prefect's blocks of Git credentials and from objects like them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from ....errors import ProjectError
from .address import Login

__all__ = ["Credentials", "login_for"]

Credentials: TypeAlias = Any
"""Name of a Prefect block, such as `github-credentials/mine`; such a block; or an object or mapping with `token`,
`access_token` or `password`, and perhaps `username`."""

_FIELDS = ("username", "password", "token", "access_token")


def login_for(credentials: Credentials, remote: str) -> Login:
    """Give the name and password that a repository wants.

    Args:
        credentials: A block, its name, or an object with such fields.
        remote: Address of the repository; some hosts want a name of their own beside a token.

    Raises:
        ProjectError: There is no such block, it holds no token or password, or the address takes none.
    """
    scheme = urlsplit(remote).scheme.lower()
    if scheme not in ("https", "http"):
        raise ProjectError(
            f"{remote} takes no credentials of a block: over ssh, your keys count; use its https address, or leave them"
            " out."
        )
    if isinstance(credentials, Login):
        return credentials
    held = _load(credentials) if isinstance(credentials, str) else credentials
    formatted = getattr(held, "format_git_credentials", None)
    login = _from_url(_asked(formatted, remote), remote) if formatted else _from_fields(_fields(held), remote)
    if login is None:
        what = f"The block {credentials!r}" if isinstance(credentials, str) else f"A {type(held).__name__}"
        raise ProjectError(f"{what} holds no token or password for {remote}; give one that does.")
    return login


def _load(name: str) -> Any:
    """Load a block, in a thread that has no event loop, so that the synchronous client is used whoever asks."""
    from httpx import HTTPError
    from prefect.blocks.core import Block
    from prefect.exceptions import PrefectException

    try:
        with ThreadPoolExecutor(1) as thread:
            load: Any = Block.load
            return thread.submit(load, name).result()
    except (ValueError, RuntimeError, HTTPError, PrefectException) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise ProjectError(
            f"The block {name!r} with the credentials cannot be loaded ({reason});"
            " give it as type/name, such as 'github-credentials/mine', and see that PREFECT_API_URL is set."
        ) from error


def _asked(formatted: Any, remote: str) -> str:
    try:
        return str(formatted(remote))
    except ValueError as error:  # the block's own word for a field that is not filled in
        raise ProjectError(f"The credentials for {remote} cannot be used: {str(error).rstrip('.')}.") from error


def _from_url(url: str, remote: str) -> Login | None:
    scheme, _, rest = remote.partition("://")
    text = url.removeprefix(f"{scheme}://").removesuffix(rest).rstrip("@")
    name, colon, password = text.partition(":")
    return _login(unquote(name), unquote(password)) if colon else _login("", unquote(text))


def _fields(held: Any) -> dict[str, str]:
    if hasattr(held, "get") and not isinstance(held, Mapping):  # Prefect's Secret: a text, or a mapping
        held = held.get()
    if isinstance(held, str):
        return {"token": held}
    values = [_value(held, name) for name in _FIELDS]
    return {name: text for name, value in zip(_FIELDS, values, strict=True) if (text := _plain(value))}


def _value(held: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", held).get(name) if isinstance(held, Mapping) else getattr(held, name, None)


def _plain(value: Any) -> str:
    for method in ("get_secret_value", "get"):
        if hasattr(value, method):
            value = getattr(value, method)()
    return str(value or "")


def _from_fields(fields: Mapping[str, str], remote: str) -> Login | None:
    """Do as Prefect does: a name where one is given, else the one that the host wants beside a token."""
    secret = fields.get("access_token") or fields.get("token") or fields.get("password") or ""
    if name := fields.get("username"):
        return _login(name, secret)
    host = urlsplit(remote).hostname or ""
    own = next((name for part, name in (("gitlab", "oauth2"), ("bitbucket", "x-token-auth")) if part in host), "")
    if own and ":" in secret:  # `name:token` is how these hosts show tokens for one project
        name, _, secret = secret.partition(":")
        return _login(name, secret)
    return _login(own, secret)


def _login(name: str, secret: str) -> Login | None:
    # Beside a token most hosts take any name, and Git sends none that is empty.
    return Login(name or "x-access-token", secret) if secret else None
