"""Running Git: without a shell, prompts, hooks or programs of a repository's choice, and with secrets out of sight."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ....errors import ProjectError
from .address import Login

__all__ = ["Git", "GitFailed", "signed_in"]

# Of the user's own settings, those that say how to get somewhere; what hooks set would lead elsewhere.
_KEPT = re.compile(r"GIT_(SSH|SSL_|PROXY_|HTTP_|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_|VALUE_)|EXEC_PATH)")
_MARKS = ("ssh:", "remote: error:", "ERROR:", "fatal:", "error:")  # of lines with a reason, the most telling first
_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",  # the files are those of the commit, byte for byte
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",
)
# Git asks for what the environment holds, and only its own host gets an answer.
_ASKED = """#!/bin/sh
case "$1" in
  "Username for '$PREFECT_ML_GIT_PLACE'"*) printf '%s\\n' "$PREFECT_ML_GIT_USER" ;;
  "Password for '$PREFECT_ML_GIT_USER_PLACE'"*) printf '%s\\n' "$PREFECT_ML_GIT_PASSWORD" ;;
  *) exit 1 ;;
esac
"""


class GitFailed(Exception):
    """Git ended with an error. Never leaves this package: a sentence of ours takes its place.

    Attributes:
        said: What Git wrote to standard error, in English, with secrets masked.
    """

    def __init__(self, said: str) -> None:
        self.said = said
        super().__init__(said)

    @property
    def reason(self) -> str:
        """The line that says why."""
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        marked = [line for mark in _MARKS for line in lines if line.startswith(mark)]
        text = (marked or lines or ["Git gave no reason"])[0]
        text = text.removeprefix(next((mark for mark in _MARKS if text.startswith(mark)), "")).strip()
        return re.sub(r"^unable to access '[^']*': ", "", text)[:300].rstrip(". ")


@dataclass(frozen=True)
class Git:
    """The Git program, as one that fetches from one place.

    Attributes:
        environ: Its environment variables, which may hold a password.
        config: Settings for each command.
        secret: What must not be seen in what it says.
    """

    environ: dict[str, str]
    config: tuple[str, ...] = _SAFE
    secret: str = ""

    def __repr__(self) -> str:
        return "Git()"

    def run(self, *arguments: str, folder: Path | None = None) -> str:
        """Run a command and give what it prints.

        Raises:
            GitFailed: It failed.
            ProjectError: There is no Git.
        """
        settings = [word for setting in self.config for word in ("-c", setting)]
        command = ["git", *settings, *arguments]
        try:
            # A session of its own has no terminal, so that neither Git nor ssh can ask there.
            child = subprocess.Popen(
                command, cwd=folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ProjectError("The program git is missing; install Git to run projects from repositories.") from error
        with child:
            out, said = _communicate(child)
        if child.returncode:
            raise GitFailed(self._masked(said))
        return out

    def _masked(self, text: str) -> str:
        text = re.sub(r"://[^/@\s]*@", "://***@", text)
        for secret in {self.secret, quote(self.secret, safe="")} - {""}:
            text = text.replace(secret, "***")
        return text


@contextmanager
def signed_in(login: Login | None, remote: str) -> Generator[Git]:
    """Give the Git program for a remote, with a login of ours or with whatever the user has configured."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _KEPT.match(name)}
    environ.pop("SSH_ASKPASS", None)
    environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "LC_ALL": "C", "LANGUAGE": "C"}
    # Submodules may lie on this machine only where the project itself does.
    config = (*_SAFE, "protocol.file.allow=always") if os.path.isabs(remote) else _SAFE
    if login is None:
        yield Git(environ, config)
        return
    with tempfile.TemporaryDirectory(prefix="prefect-ml-git-") as folder:
        program = Path(folder, "askpass")
        program.write_text(_ASKED)
        program.chmod(0o700)
        environ |= {"GIT_ASKPASS": str(program), **_answers(login, remote)}
        # The user's helpers would remember the login, or answer with another.
        yield Git(environ, (*config, "credential.helper="), login.password)


def _answers(login: Login, remote: str) -> dict[str, str]:
    parts = urlsplit(remote)
    return {
        "PREFECT_ML_GIT_PLACE": f"{parts.scheme}://{parts.netloc}",
        "PREFECT_ML_GIT_USER_PLACE": f"{parts.scheme}://{quote(login.username, safe='')}@{parts.netloc}",
        "PREFECT_ML_GIT_USER": login.username,
        "PREFECT_ML_GIT_PASSWORD": login.password,
    }


def _communicate(child: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return child.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):  # with all that it has started
            os.killpg(child.pid, signal.SIGTERM)
        raise
