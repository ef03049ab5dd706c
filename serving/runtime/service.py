"""The one Bento service, for every model: what differs lies beside this package, in `serving.json` and `model/`."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import bentoml as _bentoml  # pyright: ignore[reportMissingImports]
from anyio import CapacityLimiter

from .descriptor import read_descriptor
from .http import Front, in_turn, scoring_app
from .model import open_model
from .schema import PredictAnswer, as_request, request_model
from .scoring import Scorer

bentoml: Any = _bentoml  # it carries types only in part

_ROOT = Path(__file__).resolve().parent.parent
_IDENTITY: dict[str, Any] = json.loads((_ROOT / "serving.json").read_text())
_SIGNATURE = read_descriptor(_ROOT / "model").signature
_BODY = request_model(_SIGNATURE)
_LIMITER = CapacityLimiter(1)


class _Loaded:
    """The scorer, once it is there: the app is made before the model is loaded."""

    scorer: Scorer

    def get(self) -> Scorer:
        return self.scorer


_LOADED = _Loaded()


class Model:
    """Scores requests with one registered model version."""

    def __init__(self) -> None:
        opened = open_model(_ROOT / "model")
        if opened.digest != _IDENTITY["digest"]:
            raise ValueError("the model in this Bento is not the one that it was built from; build it again")
        _LOADED.scorer = Scorer(opened)

    @bentoml.on_startup
    def freeze(self) -> None:
        """Take what is loaded out of garbage collection, whose full passes would stall requests."""
        gc.collect()
        gc.freeze()

    @bentoml.api(route="/predict", input_spec=_BODY, output_spec=PredictAnswer)
    async def predict(self, **content: Any) -> Any:
        """Score rows; what a row has to look like follows from the model's signature."""
        request = as_request(content)
        return PredictAnswer(predictions=await in_turn(_LIMITER, lambda: _LOADED.scorer.predict(request)))


Service = bentoml.service(Model, name=_IDENTITY["bento"], traffic={"timeout": 300})
# In front of BentoML's own routes: it answers what is not multipart, JSON or valid with 500 or several sentences.
Service.add_asgi_middleware(
    Front, scoring=scoring_app(_LOADED.get, _IDENTITY, _LIMITER, _BODY), headers=_IDENTITY["headers"]
)
