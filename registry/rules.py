"""Which stages there are, and what they mean."""

from __future__ import annotations

from typing import Final

from ..errors import UnknownStage

__all__ = ["EXCLUSIVE_STAGES", "SERVED_STAGES", "STAGES", "canonical_stage"]

STAGES: Final = ("None", "Staging", "Production", "Archived")
EXCLUSIVE_STAGES: Final = ("Staging", "Production")
SERVED_STAGES: Final = ("Production",)


def canonical_stage(stage: str) -> str:
    """Give a stage in its own spelling, however its letters are cased.

    Raises:
        UnknownStage: There is no such stage.
    """
    for known in STAGES:
        if stage.casefold() == known.casefold():
            return known
    raise UnknownStage(stage, STAGES)
