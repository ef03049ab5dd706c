"""From the bytes of a request to the bytes of an answer, for one loaded model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .answers import as_plain, encode
from .errors import BadInput
from .model import Opened
from .protocol import Request, read_request
from .schema import as_request, read_typed

__all__ = ["Scorer"]


class Scorer:
    """Scores requests with one model."""

    def __init__(self, model: Opened) -> None:
        self.model = model

    def answer(self, body: bytes, content_type: str | None) -> bytes:
        """Score a request as it came over HTTP.

        Raises:
            BadInput: The request cannot be scored, and why.
        """
        return encode(self._predict(read_request(body, content_type)))

    def answer_typed(self, body: bytes, content_type: str | None, model: type[BaseModel]) -> bytes:
        """Score a request of `/predict`.

        Raises:
            BadInput: The request cannot be scored, and why.
        """
        content = read_typed(body, content_type, model)
        return encode(self._predict(as_request(content)))

    def predict(self, request: Request) -> Any:
        """Score a request that is read already; the result is ready for JSON.

        Raises:
            BadInput: The request cannot be scored, and why.
        """
        return as_plain(self._predict(request))

    def _predict(self, request: Request) -> Any:
        data, params = self.model.plan.fit(request.data, request.params)
        try:
            return self.model.loaded.predict(data, params)
        except Exception as error:  # the model is anybody's code: whatever it raises, it cannot score this input
            raise BadInput(f"The model cannot score this input ({type(error).__name__}: {_line(error)}).") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
