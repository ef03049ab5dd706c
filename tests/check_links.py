"""Finds relative links in the documents that lead to nothing; run by `make check`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def dead_links() -> list[str]:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    found: list[str] = []
    for document in documents:
        if ".venv" in document.parts:
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            path = target.split("#")[0]
            here = path and "://" not in path and not target.startswith(("mailto:", "data:"))
            if here and not (document.parent / path).exists():
                found.append(f"{document.relative_to(ROOT)}: {target}")
    return found


if __name__ == "__main__":
    dead = dead_links()
    print("\n".join(dead) or "links: all lead somewhere")
    sys.exit(bool(dead))
