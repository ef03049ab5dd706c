"""What models take and give: inferred, written down, enforced."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from scipy import sparse

import prefect_ml
from prefect_ml.errors import ModelError, SignatureMismatch
from prefect_ml.serving.models.examples import example_request, read_example
from prefect_ml.serving.runtime.errors import BadInput, Mismatch
from prefect_ml.serving.runtime.model import open_model
from prefect_ml.serving.runtime.protocol import read_request
from prefect_ml.serving.runtime.schema import request_model
from prefect_ml.serving.runtime.scoring import Scorer
from prefect_ml.serving.runtime.signature import Array, Column, Map, Object, Param, Plan, Property, Signature, Tensor

FRAME = pd.DataFrame(
    {
        "count": [1, 2],
        "size": [1.5, None],
        "name": ["a", None],
        "ok": [True, False],
        "parts": [[1], [2, 3]],
        "place": [{"x": 1.0}, {"x": 2.0, "note": "far"}],
        "at": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        "kind": pd.Categorical(["u", "v"]),
        "raw": [b"x", b"y"],
        "gaps": pd.array([1, None], dtype="Int64"),
        "maybe": pd.array([True, None], dtype="boolean"),
    }
)
PLACE = Object((Property("x", "double"), Property("note", "string", required=False)))
EXPECTED = [
    Column("count", "long"),
    Column("size", "double"),
    Column("name", "string"),
    Column("ok", "boolean"),
    Column("parts", Array("long")),
    Column("place", PLACE),
    Column("at", "datetime"),
    Column("kind", "string"),
    Column("raw", "binary"),
    Column("gaps", "double"),  # integers with missing values
    Column("maybe", "boolean", required=False),
]


class Address(pydantic.BaseModel):
    street: str
    number: int | None = None


class Person(pydantic.BaseModel):
    name: str
    size: float
    tags: list[str]
    scores: dict[str, float]
    home: Address
    kind: Literal["a", "b"] = "a"
    anything: Any = None


@dataclasses.dataclass
class Point:
    x: float
    y: float
    label: str | None = None


def fitted(signature: Signature, data: Any) -> Any:
    return Plan(signature).fit(data)[0]


def inputs(data: Any) -> list[Any]:
    return list(prefect_ml.infer_signature(data).inputs)


def test_every_type_of_column_is_inferred_from_pandas():
    assert inputs(FRAME) == EXPECTED
    assert inputs(FRAME.convert_dtypes())[:4] == EXPECTED[:4]
    assert inputs(FRAME["size"]) == [Column("size", "double")]
    assert inputs(pd.DataFrame(np.zeros((2, 2)))) == [Column(None, "double")] * 2
    assert inputs(pd.DataFrame({"s": pd.array(["a"], dtype="string"), "u": np.uint32([1]), "f": np.float32([1])})) == [
        Column("s", "string"),
        Column("u", "long"),
        Column("f", "float"),
    ]


def test_polars_and_arrow_say_the_same_as_pandas():
    plain = FRAME.drop(columns=["kind"])
    known = [column for column in EXPECTED if column.name != "kind"]
    optional = Object((Property("x", "double", required=False), Property("note", "string", required=False)))
    known[5] = Column("place", optional)  # their structs do not say which of their fields are always there
    assert inputs(pa.Table.from_pandas(plain)) == known
    frame = pl.DataFrame(
        {name: plain[name].tolist() for name in plain if name not in ("gaps", "maybe", "name", "place")}
    )
    assert inputs(frame) == [one for one in known if one.name not in ("gaps", "maybe", "name", "place")]
    assert inputs(pl.DataFrame({"n": [1, None], "b": [True, None]})) == [
        Column("n", "double"),
        Column("b", "boolean", required=False),
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros((3, 4), np.float32), [Tensor("float32", (-1, 4))]),
        (np.array(["a"]), [Tensor("str", (-1,))]),
        (np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]), [Column("a", "integer"), Column("b", Array("double"))]),
        ({"a": np.zeros((3, 2)), "b": [1]}, [Column("a", Array(Array("double"))), Column("b", Array("long"))]),
        ({"a": np.zeros((3, 2)), "b": np.ones(3)}, [Tensor("float64", (-1, 2), "a"), Tensor("float64", (-1,), "b")]),
        (sparse.csr_matrix(np.eye(3)), [Tensor("float64", (-1, 3))]),
        ([1, 2], [Tensor("int64", (-1,))]),
        ([1, None], [Tensor("float64", (-1,))]),
        ([[1.0, 2], [3, 4]], [Tensor("float64", (-1, 2))]),
        ([[1], [2, 3]], [Column(None, Array("long"))]),
        (["a", "b"], [Tensor("str", (-1,))]),
        ([datetime(2026, 1, 1)], [Column(None, "datetime")]),
        ("text", [Column(None, "string")]),
        ({"a": 1, "b": ["x"]}, [Column("a", "long"), Column("b", Array("string"))]),
        ({"a": [1, 2], "b": ["x", "y"]}, [Column("a", "long"), Column("b", "string")]),
        ([{"a": 1}, {"a": 2.5, "b": None}], [Column("a", "double"), Column("b", "any", required=False)]),
        (list[str], [Column(None, "string")]),
        (list[dict[str, int]], [Column(None, Map("long"))]),
        (Point, [Column("x", "double"), Column("y", "double"), Column("label", "string", required=False)]),
        ([Point(1, 2)], [Column("x", "double"), Column("y", "double"), Column("label", "string", required=False)]),
    ],
)
def test_signatures_are_inferred_from_what_people_have(data: Any, expected: list[Any]):
    assert inputs(data) == expected


def test_type_hints_and_pydantic_models_say_what_a_function_takes():
    def predict(data: list[Person]) -> list[float]:
        return [person.size for person in data]

    home = Object((Property("street", "string"), Property("number", "long", required=False)))
    person = Object(
        (
            Property("name", "string"), Property("size", "double"), Property("tags", Array("string")),
            Property("scores", Map("double")), Property("home", home), Property("kind", "string", required=False),
            Property("anything", "any", required=False),
        )
    )  # fmt: skip
    signature = prefect_ml.infer_signature(predict)
    assert signature == Signature((Column(None, person),), (Column(None, "double"),))
    assert [column.name for column in prefect_ml.infer_signature(Person).columns] == list(Person.model_fields)

    class Model:
        def predict(self, context: Any, data: list[str], params: dict[str, Any] | None = None) -> list[str]:
            return data

    assert inputs(Model()) == [Column(None, "string")]
    with pytest.raises(ModelError, match="annotate"):
        prefect_ml.infer_signature(lambda data: data)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (pd.DataFrame({"mixed": [1, "a"]}), "mixed"),
        (pd.DataFrame({"wide": [1j]}), "wide"),
        (pd.DataFrame({"odd": [object()]}), "odd"),
        (pl.DataFrame({"lasted": [1]}).select(pl.duration(days="lasted")), "Duration"),
        (pa.table({"long": pa.array([1], pa.duration("s"))}), "long"),
        ([{"a": 2**70}], "a"),
        (list[complex], "complex"),
    ],
)
def test_what_no_signature_can_say_is_a_sentence_that_names_the_column(data: Any, named: str):
    with pytest.raises(ModelError, match=named):
        prefect_ml.infer_signature(data)


def test_params_are_inferred_and_kept_with_their_defaults():
    given = {"k": 3, "rate": 0.5, "stop": ["a"], "at": datetime(2026, 1, 1), "more": {"deep": True}}
    signature = prefect_ml.infer_signature(np.zeros((1, 1)), params=given)
    assert signature.params == (
        Param("k", "long", 3),
        Param("rate", "double", 0.5),
        Param("stop", "string", ["a"], (-1,)),
        Param("at", "datetime", "2026-01-01T00:00:00"),
        Param("more", Object((Property("deep", "boolean"),)), {"deep": True}),
    )
    assert Signature.from_mlmodel(signature.as_mlmodel()) == signature
    plan = Plan(signature)
    assert plan.fit(np.zeros((1, 1)))[1] == given
    assert plan.fit(np.zeros((1, 1)), {"k": 4, "rate": 1})[1] == {**given, "k": 4, "rate": 1.0}
    for wrong, named in (({"q": 1}, "'q'"), ({"k": "many"}, "'k' is long.*'many'"), ({"stop": "a"}, "array of string")):
        with pytest.raises(BadInput, match=named):
            plan.fit(np.zeros((1, 1)), wrong)
    with pytest.raises(BadInput, match="takes no params"):
        Plan(prefect_ml.infer_signature(np.zeros((1, 1)))).fit(np.zeros((1, 1)), {"k": 1})


def test_a_table_that_fits_is_not_touched():
    numbers = pd.DataFrame(np.zeros((3, 2)), columns=["a", "b"])
    signature = prefect_ml.infer_signature(numbers)
    assert fitted(signature, numbers) is numbers
    array = numbers.to_numpy()
    assert fitted(prefect_ml.infer_signature(array), array) is array
    assert np.shares_memory(fitted(signature, array).to_numpy(), array)


@pytest.mark.parametrize(
    "form",
    [
        lambda frame: frame[frame.columns[::-1]].assign(more=0),
        lambda frame: frame.to_dict("records"),
        lambda frame: frame.to_dict("list"),
        pa.Table.from_pandas,
        lambda frame: pl.DataFrame(frame.to_dict("records"), strict=False),
        lambda frame: [list(row) for row in frame.itertuples(index=False)],
    ],
    ids=["reordered", "records", "lists", "arrow", "polars", "rows"],
)
def test_every_form_of_a_table_becomes_the_same(form: Callable[[pd.DataFrame], Any]):
    frame = FRAME.drop(columns=["gaps", "maybe"]).assign(size=[1.5, 2.5], name=["a", "b"])
    signature = prefect_ml.infer_signature(frame)
    found = fitted(signature, form(frame))
    assert list(found.columns) == list(frame.columns)
    for name in frame.columns.drop("place"):
        assert found[name].tolist() == frame[name].tolist(), name
    assert found["place"][1]["note"] == "far"


def column(kind: Any, values: Any, *, required: bool = True) -> list[Any]:
    """Fit values, given as a Series, to a column of a type."""
    return fitted(Signature((Column("x", kind, required),)), pd.DataFrame({"x": values}))["x"].tolist()


def test_safe_widening_is_done_and_nothing_else():
    assert column("long", np.array([1], np.int32)) == [1]
    assert column("double", np.array([0.5], np.float32)) == [0.5]
    assert column("double", np.array([2**53])) == [2.0**53]
    assert column("float", np.array([0.5])) == [0.5]
    assert column("integer", np.array([7, 8])) == [7, 8]
    assert column("long", [3.0]) == [3]
    assert column("double", pd.array([1, None], dtype="Int64"))[0] == 1.0
    assert column("long", pd.array([2**60, None], dtype="Int64"), required=False)[0] == 2**60
    refused = [
        ("double", np.array([2**53 + 1])), ("float", np.array([0.1])), ("integer", np.array([2**40])),
        ("long", [1.5]), ("long", [float("nan")]), ("long", pd.array([1, None], dtype="Int64")), ("long", ["1"]),
        ("boolean", [1]), ("long", [True]), ("string", [1]), ("double", ["1.5"]), ("binary", ["text"]),
        ("datetime", ["soon"]), ("datetime", [5]), (Array("long"), [[1, "a"]]), (Array("long"), [5]),
        (Map("long"), [{"a": "b"}]), (PLACE, [{"note": "x"}]), (PLACE, [{"x": "y"}]),
    ]  # fmt: skip
    for kind, values in refused:
        with pytest.raises(Mismatch, match="'x' is ") as raised:
            column(kind, values)
        assert raised.value.field == "x"
        assert raised.value.expected
        assert raised.value.found


UNSIGNED = {
    "pandas": lambda values: pd.DataFrame({"x": np.array(values, np.uint64)}),
    "nullable": lambda values: pd.DataFrame({"x": pd.array(values, dtype="UInt64")}),
    "null": lambda values: pd.DataFrame({"x": pd.array([*values, None], dtype="UInt64")}),
    "polars": lambda values: pl.DataFrame({"x": pl.Series(values, dtype=pl.UInt64)}),
    "arrow": lambda values: pa.table({"x": pa.array(values, pa.uint64())}),
    "numpy": lambda values: np.array([values], np.uint64).T,
    "dict": lambda values: {"x": np.array(values, np.uint64)},
    "scalars": lambda values: [{"x": np.uint64(value)} for value in values],
}


@pytest.mark.parametrize("form", UNSIGNED.values(), ids=UNSIGNED)
def test_unsigned_numbers_do_not_wrap(form: Callable[[list[int]], Any]):
    signature = Signature((Column("x", "long", required=False),))
    assert fitted(signature, form([1, 2**63 - 1]))["x"].tolist()[:2] == [1, 2**63 - 1]
    for beyond in (2**63, 2**64 - 1):
        with pytest.raises(Mismatch, match=f"'x' is long, but .*{beyond}"):
            fitted(signature, form([1, beyond]))


def test_numbers_of_tensors_do_not_wrap():
    signed, unsigned = (Signature((Tensor(kind, (-1,)),)) for kind in ("int64", "uint64"))
    assert fitted(signed, np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]
    assert fitted(unsigned, np.array([5.0])).tolist() == [5]
    for signature, array in (
        (signed, np.array([2**63], np.uint64)), (signed, np.array([2.0**63])), (unsigned, np.array([-1])),
        (unsigned, np.array([2.0**64])), (Signature((Tensor("float64", (-1,)),)), np.array([2**64 - 1], np.uint64)),
    ):  # fmt: skip
        with pytest.raises(Mismatch, match=f"such as {array.tolist()[0]}".replace("+", r"\+")):
            fitted(signature, array)
    with pytest.raises(Mismatch, match="such as"):
        fitted(signed, [2**63])


@pytest.mark.parametrize("form", [pd.DataFrame, pl.DataFrame, pa.table, dict, lambda data: [{"a": 1, "heigth": 2}]])
def test_a_missing_column_names_the_one_that_is_nearly_called_so(form: Callable[[Any], Any]):
    signature = Signature((Column("a", "long"), Column("height", "long")))
    with pytest.raises(Mismatch, match=r"'height' is missing.* has 'heigth'"):
        fitted(signature, form({"a": [1], "heigth": [2]}))


def test_an_error_names_the_column_the_row_and_the_place_within():
    signature = Signature((Column("person", Object((Property("tags", Array("string")),))),))
    with pytest.raises(Mismatch, match=r"'person' is object with tags, but 7 \(int\) .* row 2 at tags\[1\]"):
        fitted(signature, [{"person": {"tags": []}}, {"person": {"tags": ["a", 7]}}])
    with pytest.raises(Mismatch, match="'person' is missing"):
        fitted(signature, pd.DataFrame({"other": [1]}))
    with pytest.raises(BadInput, match="two columns 'person'"):
        fitted(signature, pd.DataFrame([[1, 2]], columns=["person", "person"]))


def test_optional_columns_may_be_absent_or_hold_nulls():
    signature = Signature((Column("a", "long"), Column("b", "long", required=False)))
    assert list(fitted(signature, [{"a": 1}]).columns) == ["a"]
    assert fitted(signature, [{"a": 1}, {"a": 2, "b": 3}])["b"].tolist()[1] == 3
    with pytest.raises(Mismatch, match="'a' is long, but nothing was given in row 2"):
        fitted(signature, [{"a": 1}, {"b": 3}])


def test_tensors_are_held_against_dtype_and_shape():
    signature = Signature((Tensor("float32", (-1, 2)),))
    assert fitted(signature, [[0.1, 2]]).dtype == np.float32
    assert fitted(signature, pd.DataFrame({"a": np.float32([1]), "b": np.float32([2])})).shape == (1, 2)
    assert fitted(signature, sparse.csr_matrix(np.eye(2, dtype=np.float32))).nnz == 2
    for wrong, found in ((np.zeros((1, 3), "f4"), "shape"), (np.array([[0.1, 0.2]]), "float64"), (["a"], "float32")):
        with pytest.raises(BadInput, match=found):
            fitted(signature, wrong)
    named = Signature((Tensor("int64", (-1,), "ids"), Tensor("float64", (-1, 2), "points")))
    found = fitted(named, {"ids": [1, 2], "points": [[1, 2], [3, 4]], "more": 1})
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "ids": ("int64", (2,)),
        "points": ("float64", (2, 2)),
    }
    with pytest.raises(Mismatch, match="'points' is missing"):
        fitted(named, {"ids": [1]})


def double(data: Any, params: dict[str, Any] | None = None) -> Any:
    assert params is not None
    return {"sum": data["a"].sum(axis=1) * params["factor"], "ids": data["b"]}


def test_named_tensors_and_params_are_served(tmp_path: Path, home: Path):
    example = ({"a": np.ones((2, 3)), "b": np.array([1, 2])}, {"factor": 2.0})
    saved = prefect_ml.save_model(double, tmp_path / "model", example=example)
    model = prefect_ml.load_model(saved.path, trust=True)
    assert model.predict({"a": np.ones((1, 3)), "b": [5]})["sum"].tolist() == [6.0]
    assert model.predict({"a": np.ones((1, 3)), "b": [5]}, {"factor": 3})["sum"].tolist() == [9.0]
    with pytest.raises(SignatureMismatch, match="'factor' is double") as raised:
        model.predict(example[0], {"factor": "two"})
    assert (raised.value.field, raised.value.expected) == ("factor", "double")
    scorer = Scorer(open_model(saved.path))
    body = {"inputs": {"a": [[1, 1, 1]], "b": [5]}, "params": {"factor": 4}}
    for answer in (
        scorer.answer(json.dumps(body).encode(), "application/json"),
        scorer.answer_typed(json.dumps(body).encode(), "application/json", request_model(model.signature)),
    ):
        assert json.loads(answer) == {"predictions": {"sum": [12.0], "ids": [5]}}
    rows = {"instances": [{"a": [1, 1, 1], "b": 5}]}
    assert json.loads(scorer.answer(json.dumps(rows).encode(), "application/json"))["predictions"]["sum"] == [6.0]
    again = read_example(saved.path)
    assert again is not None
    assert again.params == example[1]
    assert again.data["a"].tolist() == example[0]["a"].tolist()


def test_a_function_with_hints_is_given_what_it_asks_for(tmp_path: Path, home: Path):
    def greet(data: list[Person]) -> list[str]:
        return [f"{person.name} of {person.home.street}" for person in data]

    row = {"name": "Ada", "size": 1.7, "tags": [], "scores": {}, "home": {"street": "Main"}, "kind": "a", "anything": 1}
    # As text, which this file makes of every hint, the class would not travel with the pickled function.
    greet.__annotations__ = {"data": list[Person], "return": list[str]}
    saved = prefect_ml.save_model(greet, tmp_path / "model", example=[row])
    model = prefect_ml.load_model(saved.path, trust=True)
    assert model.predict([row, Person(**row)]) == ["Ada of Main"] * 2
    with pytest.raises(SignatureMismatch, match=r"home\.street"):
        model.predict([{**row, "home": {"street": 5}}])


class Tagged(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str] = []


@dataclasses.dataclass
class Sized:
    name: str
    size: int = 3
    parts: list[str] = dataclasses.field(default_factory=list[str])


def test_defaults_of_classes_apply_where_nothing_is_given(tmp_path: Path, home: Path):
    def people(data: list[Tagged]) -> list[str]:
        return [f"{one.name} {one.age} {one.tags}" for one in data]

    def things(data: list[Sized]) -> list[str]:
        return [f"{one.name} {one.size} {one.parts}" for one in data]

    people.__annotations__ = {"data": list[Tagged], "return": list[str]}
    things.__annotations__ = {"data": list[Sized], "return": list[str]}
    for function, row, expected in ((people, {"name": "x", "age": 3}, "x 3 []"), (things, {"name": "x"}, "x 3 []")):
        saved = prefect_ml.save_model(function, tmp_path / function.__name__, requirements=[])
        model = prefect_ml.load_model(saved.path, trust=True)
        assert model.predict([row]) == [expected]
        with pytest.raises(SignatureMismatch, match="name"):
            model.predict([{"age": 3}])
    with pytest.raises(BadInput, match=r"Row 1 .*tags"):
        Plan(prefect_ml.infer_signature(people), Tagged.model_validate).fit([{"name": "x", "age": 3, "tags": None}])
    assert [one.required for one in prefect_ml.infer_signature(Tagged).columns] == [True, True, False]
    assert [one.required for one in prefect_ml.infer_signature(Sized).columns] == [True, False, False]


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        (pd.DataFrame({"a": [1.0, None], "b": ["x", "y"]}), "dataframe"),
        (pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}), "dataframe"),
        (pd.DataFrame(np.ones((2, 2))), "dataframe"),
        (np.array([[1.0, np.nan]]), "ndarray"),
        ({"a": np.ones((2, 2)), "b": np.ones(2)}, "ndarray"),
        ([[1, 2], [3, 4]], "json_object"),
        ([{"a": 1, "b": [1]}], "json_object"),
        ({"a": 1, "b": "x"}, "json_object"),
        (Point(1, 2), "json_object"),
        (sparse.csr_matrix(np.eye(3)), "sparse_matrix_csr"),
        (sparse.csc_matrix(np.eye(3)), "sparse_matrix_csc"),
        (([1.5], {"factor": 2}), "json_object"),
    ],
)
def test_examples_of_every_form_are_kept_and_can_be_sent(example: Any, kind: str, tmp_path: Path, home: Path):
    def size(data: Any, params: Any = None) -> Any:
        return data.shape[0] if hasattr(data, "shape") else len(next(iter(data.values())))

    saved = prefect_ml.save_model(size, tmp_path / "model", example=example, requirements=[])
    opened = open_model(saved.path)
    assert opened.descriptor.example["type"] == kind
    body = example_request(saved.path)
    assert body is not None
    assert "NaN" not in body.decode()
    rows = json.loads(Scorer(opened).answer(body, "application/json"))["predictions"]
    again = read_example(saved.path)
    assert again is not None
    assert opened.predict(again.data, again.params) == rows
    assert opened.predict(*(example if isinstance(example, tuple) else (example,))) == rows


def test_csv_and_dates_and_bytes_arrive_as_what_their_columns_are():
    kinds = {"at": "datetime", "raw": "binary", "n": "long", "x": "double"}
    signature = Signature(tuple(Column(name, kind) for name, kind in kinds.items()))
    found = fitted(signature, read_request(b"at,raw,n,x\n2026-01-01T00:00:00Z,eA==,3,\n", "text/csv").data)
    assert found["at"][0] == pd.Timestamp("2026-01-01")
    assert found["raw"][0] == b"x"
    assert found["n"][0] == 3
    assert math.isnan(found["x"][0])


def test_openapi_shows_both_paths():
    signature = prefect_ml.infer_signature(pd.DataFrame({"a": [1]}), [1.0], {"k": 3})
    document = signature.openapi("wine")
    assert set(document["paths"]) == {"/predict", "/invocations"}
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {**body, "$schema": "https://json-schema.org/draft/2020-12/schema"} == signature.json_schema()
    made = request_model(signature).model_json_schema()
    assert made["properties"]["rows"]["items"] == body["properties"]["rows"]["items"]
    assert made["properties"]["params"]["properties"] == body["properties"]["params"]["properties"]
    json.dumps(document)
