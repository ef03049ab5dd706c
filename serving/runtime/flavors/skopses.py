"""Files of skops: scikit-learn's objects without pickles, so that reading them runs no code.

skops refuses every type that it has not been told to trust. What is trusted here beyond its own list stands here by
name; a model with other types is pickled, and another tool's file that holds some is read only where it is trusted.
A type here holds numbers and settings, a function here computes with arrays; no whole package is trusted, for a file
might name any function in it.
"""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .base import inside

__all__ = ["modules_in", "read_skops", "strangers", "write_skops"]

_SCHEMA = "schema.json"
_MOST_BYTES = 2**30  # of the schema, which says what there is; arrays are files of their own
_EPOCH = (1980, 1, 1, 0, 0, 0)

_TRUSTED: Mapping[str, tuple[str, ...]] = {
    "collections": ("OrderedDict",),
    "lightgbm.basic": ("Booster",),
    "lightgbm.sklearn": ("LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor"),
    "numpy": ("dtype", "mean", "median"),
    "scipy._lib.array_api_compat.numpy._aliases": ("asarray",),
    "scipy.interpolate._bsplines": ("BSpline",),
    "scipy.interpolate._interpolate": ("interp1d",),
    "scipy.sparse._csc": ("csc_array", "csc_matrix"),
    "scipy.sparse._csr": ("csr_array", "csr_matrix"),
    "sklearn._loss.loss": ("HalfTweedieLoss", "HalfTweedieLossIdentity"),
    "sklearn.calibration": ("_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"),
    "sklearn.cluster._bisect_k_means": ("_BisectingTree",),
    "sklearn.cluster._kmeans": ("_kmeans_single_elkan", "_kmeans_single_lloyd"),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.feature_selection._mutual_info": ("mutual_info_classif", "mutual_info_regression"),
    "sklearn.feature_selection._univariate_selection": ("chi2", "f_classif", "f_regression", "r_regression"),
    "sklearn.gaussian_process._gpc": ("_BinaryGaussianProcessClassifierLaplace",),
    "sklearn.gaussian_process.kernels": (
        "CompoundKernel", "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern",
        "PairwiseKernel", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel",
    ),
    "sklearn.metrics._classification": ("accuracy_score", "balanced_accuracy_score", "f1_score", "log_loss"),
    "sklearn.metrics._dist_metrics": tuple(
        f"{name}Distance{bits}" for name in ("Chebyshev", "Euclidean", "Manhattan", "Minkowski") for bits in (32, 64)
    ),
    "sklearn.metrics._scorer": ("_CurveScorer", "_PassthroughScorer", "_Scorer"),
    "sklearn.model_selection._search_successive_halving": ("HalvingGridSearchCV", "HalvingRandomSearchCV"),
    "sklearn.model_selection._split": (
        "GroupKFold", "GroupShuffleSplit", "KFold", "LeaveOneGroupOut", "LeaveOneOut", "PredefinedSplit",
        "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedGroupKFold", "StratifiedKFold",
        "StratifiedShuffleSplit", "TimeSeriesSplit",
    ),
    "sklearn.multiclass": ("_ConstantPredictor",),
    "sklearn.neighbors._ball_tree": ("BallTree",),
    "sklearn.neighbors._kd_tree": ("KDTree",),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
    "sklearn.tree._tree": ("Tree",),
    "sklearn.utils._bunch": ("Bunch",),
    "sklearn.utils._metadata_requests": ("MetadataRequest", "MethodMetadataRequest"),
    "xgboost.core": ("Booster",),
    "xgboost.sklearn": ("XGBClassifier", "XGBModel", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker", "XGBRegressor"),
}  # fmt: skip
_NAMES = frozenset(f"{module}.{name}" for module, names in _TRUSTED.items() for name in names)


def write_skops(model: Any, path: Path) -> tuple[list[str], Any] | None:
    """Write a model to a file; None, and no file, where skops cannot.

    Returns:
        The types that a reader has to trust, by name, and the model as it is read back.
    """
    from skops import io as skops

    try:
        data = _steady(skops.dumps(model))
        needed: list[str] = skops.get_untrusted_types(data=data)
        if not _NAMES.issuperset(needed):
            return None
        again = skops.loads(data, trusted=needed)
    except Exception:  # noqa: BLE001 - any object's own code runs here, and whatever it cannot, a pickle may
        return None
    path.write_bytes(data)
    return needed, again


def read_skops(folder: Path, name: Any) -> Any:
    """Read a file of a model folder; the caller has made sure that its `strangers`, if it has any, are trusted.

    Raises:
        ValueError: The file cannot be read.
    """
    from skops import io as skops

    path = inside(folder, name)
    _schema(path)
    try:
        return skops.load(path, trusted=sorted(_NAMES))
    except Exception:  # noqa: BLE001 - what else it holds is looked for only where it holds more, or is broken
        return skops.load(path, trusted=sorted({*_NAMES, *strangers(folder, name)}))


def strangers(folder: Path, name: Any) -> list[str]:
    """Name the types in a file that nobody but its maker trusts; nothing of it is loaded.

    Raises:
        ValueError: It is no file of skops.
    """
    from skops import io as skops

    path = inside(folder, name)
    _schema(path)
    try:
        return sorted(set(skops.get_untrusted_types(file=path)) - _NAMES)
    except Exception as error:  # a file is anybody's, and skops tells of a broken one in many ways
        raise ValueError(f"its file {name!r} is no file of skops ({type(error).__name__}: {error})") from error


def modules_in(folder: Path, name: Any) -> set[str]:
    """Give the top-level modules of the types in a file."""
    found: set[str] = set()

    def note(node: dict[str, Any]) -> None:
        if isinstance(node.get("__module__"), str):
            found.add(node["__module__"].partition(".")[0])

    json.loads(_schema(inside(folder, name)), object_hook=note)
    return found


def _schema(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_SCHEMA).file_size > _MOST_BYTES:
                raise ValueError(f"its file {path.name!r} holds over {_MOST_BYTES} bytes of description")
            return archive.read(_SCHEMA)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise ValueError(f"its file {path.name!r} is no file of skops ({error})") from error


def _steady(data: bytes) -> bytes:
    """Write the archive anew without the time of day, addresses in memory and random names: equal models, equal bytes.

    They are replaced by numbers in the order in which the description, which is sorted by the model, names them.
    """
    names: dict[str, str] = {}
    numbers: dict[int, int] = {}
    count: Iterator[int] = itertools.count(1)

    def renumber(node: dict[str, Any]) -> dict[str, Any]:
        if isinstance(address := node.get("__id__"), int):
            node["__id__"] = numbers[address] if address in numbers else numbers.setdefault(address, next(count))
        if "__loader__" in node and isinstance(name := node.get("file"), str):
            node["file"] = names.setdefault(name, f"{len(names) + 1}{Path(name).suffix}")
        return node

    new = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(new, "w") as target:
        schema = json.loads(source.read(_SCHEMA), object_hook=renumber)
        target.writestr(zipfile.ZipInfo(_SCHEMA, _EPOCH), json.dumps(schema))
        for old, name in names.items():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), source.read(old))
    return new.getvalue()
