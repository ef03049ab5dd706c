"""What Git says when it cannot, as one sentence of ours that names the part of the address that is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ....errors import ProjectError
from .git import GitFailed

__all__ = ["ambiguous_version", "no_such_version", "refusal"]

_UNKNOWN_HOST = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION")
_DENIED = re.compile(
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \("
    r"|returned error: 40[13]|Access denied|access rights.*denied",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"repository .*not found|does not appear to be a git repository|not a git repository|returned error: 404"
    r"|returned error: 410|could not be found|not valid: is this a git repository",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"Could not resolve|Failed to connect|Couldn't connect|Connection (refused|timed out|reset|closed)|No route to host"
    r"|Network is unreachable|Operation timed out|unable to connect|Operation too slow|SSL|certificate"
    r"|returned error: 5\d\d|Empty reply|early EOF|hung up",
    re.IGNORECASE,
)


def refusal(failed: GitFailed, shown: str, *, with_login: bool) -> ProjectError:
    """Say which part is wrong, after Git could not reach or read a repository.

    Args:
        failed: What Git said.
        shown: Address of the repository, without credentials.
        with_login: Whether credentials were given.
    """
    said = failed.said
    if _UNKNOWN_HOST.search(said):
        advice = "connect to it once with ssh, so that its key is known"
        return ProjectError(f"The host of {shown} is not known to ssh on this machine; {advice}.")
    if _DENIED.search(said):
        if with_login:
            return ProjectError(f"{shown} refuses these credentials; see that they are valid and may read it.")
        over_http = shown.startswith(("https://", "http://"))
        advice = "give credentials" if over_http else "see that ssh has a key (in its agent, if it has a passphrase)"
        advice += " that may read it, or check its name, as some hosts hide what they do not have"
        return ProjectError(f"The repository {shown} needs authentication; {advice}.")
    if _ABSENT.search(said):
        return ProjectError(f"There is no repository at {shown}; check the address.")
    if _AWAY.search(said):
        return ProjectError(f"{shown} cannot be reached ({failed.reason}); check the host and the network.")
    return ProjectError(f"Git cannot fetch {shown} ({failed.reason}); check the address.")


def no_such_version(version: str, shown: str, branches: Iterable[str], tags: Iterable[str]) -> ProjectError:
    """Say that a version is not there, with the names that come near it."""
    kinds = {**dict.fromkeys(tags, "tag"), **dict.fromkeys(branches, "branch")}
    near = difflib.get_close_matches(version, kinds, n=3, cutoff=0.5)
    named = ", ".join(f"{kinds[name]} {name!r}" for name in near or list(kinds)[-3:])
    hint = f"close to it: {named}" if near else f"it has {named}" if named else "it has neither branches nor tags"
    return ProjectError(f"{shown} has no branch, tag or commit {version!r}; {hint}.")


def ambiguous_version(version: str, shown: str) -> ProjectError:
    """Say that several commits begin so."""
    return ProjectError(f"Several commits of {shown} begin with {version!r}; give more of its digits.")
