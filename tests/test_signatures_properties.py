"""Signatures against anything that anybody may write: descriptors, requests, schemas."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_ml.serving.runtime.errors import BadInput
from prefect_ml.serving.runtime.schema import as_request, read_typed, request_model
from prefect_ml.serving.runtime.signature import Array, Column, Map, Object, Param, Plan, Property, Signature, Tensor
from prefect_ml.serving.runtime.signature.kinds import PLAIN

NAMES = st.text("abcxyz é_", min_size=1, max_size=4)
WORDS = st.sampled_from([*PLAIN, "any"])


def objects(inner: Any) -> Any:
    members = st.builds(Property, NAMES, inner, st.booleans())
    unique = st.lists(members, min_size=1, max_size=3, unique_by=lambda one: one.name)
    return unique.map(lambda found: Object(tuple(found)))


KINDS = st.recursive(WORDS, lambda inner: st.one_of(inner.map(Array), inner.map(Map), objects(inner)), max_leaves=4)
NAMED = st.lists(st.builds(Column, NAMES, KINDS, st.booleans()), min_size=1, max_size=4, unique_by=lambda one: one.name)
UNNAMED = st.lists(st.builds(Column, st.none(), KINDS), min_size=1, max_size=3)
DTYPES = st.sampled_from(["float32", "float64", "int8", "int64", "uint16", "bool", "str"])
SHAPES = st.lists(st.integers(0, 3), max_size=2).map(lambda sizes: (-1, *sizes))
TENSOR = st.builds(Tensor, DTYPES, SHAPES).map(lambda one: (one,))
TENSORS = st.lists(st.builds(Tensor, DTYPES, SHAPES, NAMES), min_size=1, max_size=3, unique_by=lambda one: one.name)
PARAMS = st.lists(
    st.builds(
        Param, NAMES, st.sampled_from(["boolean", "integer", "double", "string"]), st.none(),
        st.sampled_from([None, (-1,)]),
    ),
    max_size=2, unique_by=lambda one: one.name,
)  # fmt: skip
SIGNATURES = st.builds(
    lambda inputs, params: Signature(tuple(inputs), (), tuple(params)),
    st.one_of(NAMED, UNNAMED, TENSOR, TENSORS),
    PARAMS,
)

# Without line ends: Python takes "$" in a pattern for a place before one.
TEXT = st.text("ab=9+/ ", max_size=4)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.integers(-3, 3), st.floats(allow_nan=False, width=32),
    st.sampled_from([1e39, -1e300, 0.5, 3.0, 2**31]), TEXT,
    st.sampled_from(["2026-01-01", "2026-01-01T10:00:00Z", "eA=="]),
).filter(lambda value: value not in (float("inf"), float("-inf")))  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)


def fitting(kind: Any) -> Any:
    """Make values of a type, as JSON has them."""
    if isinstance(kind, Array):
        return st.lists(fitting(kind.items), max_size=3)
    if isinstance(kind, Map):
        return st.dictionaries(NAMES, fitting(kind.values), max_size=2)
    if isinstance(kind, Object):
        return st.fixed_dictionaries({one.name: fitting(one.type) for one in kind.properties})
    return {
        "boolean": st.booleans(), "integer": st.integers(-(2**31), 2**31 - 1), "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False, width=32), "string": TEXT,
        "double": st.floats(allow_nan=False, allow_infinity=False), "any": LEAVES,
        "binary": st.binary(max_size=3).map(lambda data: base64.b64encode(data).decode()),
        "datetime": st.datetimes().map(lambda moment: moment.isoformat()),
    }[kind]  # fmt: skip


def tensor_of(tensor: Tensor) -> Any:
    leaf = {"f": fitting("float"), "i": st.integers(-9, 9), "u": st.integers(0, 9), "b": st.booleans(), "s": TEXT}
    values = leaf[tensor.dtype[0]]
    for size in reversed(tensor.shape):
        values = st.lists(values, min_size=max(size, 0), max_size=2 if size < 0 else size)
    return values


def body_of(signature: Signature) -> Any:
    """Make requests that are nearly right: of the right shape, and each cell of its type or of any other."""
    rows: Any
    if signature.tensors:
        single = {one.name: tensor_of(one) for one in signature.tensors}
        rows = single[None] if None in single else st.fixed_dictionaries(single)
    elif signature.columns[0].name is None:
        cells = [fitting(one.type) | LEAVES for one in signature.columns]
        rows = st.lists(cells[0] if len(cells) == 1 else st.tuples(*cells).map(list), max_size=2)
    else:
        given = {one.name: fitting(one.type) | fitting(one.type) | LEAVES for one in signature.columns}
        rows = st.lists(st.fixed_dictionaries({}, optional=given) | st.fixed_dictionaries(given), max_size=2)
    params = {one.name: st.lists(LEAVES, max_size=2) | fitting(one.type) for one in signature.params}
    key = "rows" if signature.columns and signature.columns[0].name is not None else "inputs"
    extra = {"params": st.fixed_dictionaries({}, optional=params)} if params else {}
    return st.fixed_dictionaries({key: rows | JSON}, optional=extra)


FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def accepts(signature: Signature, body: Any) -> bool:
    try:
        content = read_typed(json.dumps(body).encode(), "application/json", request_model(signature))
        request = as_request(content)
        Plan(signature, lambda value: value).fit(request.data, request.params)
    except BadInput:
        return False
    return True


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_json_schema_admits_what_is_accepted_and_nothing_else(data: st.DataObject):
    signature = data.draw(SIGNATURES)
    body = data.draw(body_of(signature))
    schema = signature.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    admitted = jsonschema.Draft202012Validator(schema, format_checker=FORMATS).is_valid(body)
    assert admitted == accepts(signature, body)


@settings(max_examples=120, deadline=None)
@given(SIGNATURES)
def test_a_signature_is_read_as_it_was_written(signature: Signature):
    entry = signature.as_mlmodel()
    assert Signature.from_mlmodel(entry) == signature
    json.dumps(signature.openapi())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_reading_a_signature_fails_with_half_a_sentence_or_not_at_all(data: st.DataObject):
    keys = st.sampled_from(
        ["type", "name", "items", "properties", "values", "tensor-spec", "dtype", "shape", "required", "default", "a"]
    )
    words = st.sampled_from(
        [*PLAIN, "any", "array", "object", "map", "tensor", "float64", "O", "S99999", "<f8", "M8[ns]"]
    )
    junk = st.recursive(
        st.one_of(LEAVES, words, st.text(max_size=5)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=12,
    )
    sides = st.one_of(junk, junk.map(json.dumps), st.lists(st.dictionaries(keys, junk), max_size=3).map(json.dumps))
    entry = data.draw(
        st.one_of(junk, st.fixed_dictionaries({}, optional=dict.fromkeys(("inputs", "outputs", "params"), sides)))
    )
    read_or_refuse(entry)


def read_or_refuse(entry: Any) -> None:
    try:
        found = Signature.from_mlmodel(entry)
    except ValueError as error:
        message = str(error)
    else:
        assert found is None or Signature.from_mlmodel(found.as_mlmodel()) in (found, None)
        return
    assert message.startswith("the signature in MLmodel cannot be read (")
    assert len(message) < 300


def test_hostile_signatures_are_refused_at_once():
    deep = '[{"type":"array","items":' + '{"type":"array","items":' * 50_000 + "{}" + "}" * 50_001 + "]"
    shallow = '{"type":"long"}'
    for _ in range(40):
        shallow = f'{{"type":"array","items":{shallow}}}'
    huge = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1] * 100_000}}])
    digits = '[{"type":"tensor","tensor-spec":{"dtype":"f8","shape":[' + "9" * 10_000 + "]}}]"
    twins = json.dumps([{"type": "long", "name": "a"}] * 100_000)
    for text in (deep, f"[{shallow}]", huge, digits, twins, "[" * 100_000, '"x"', "5", "{", '[{"type":"long"},5]'):
        with pytest.raises(ValueError, match=r"^the signature in MLmodel cannot be read \("):
            Signature.from_mlmodel({"inputs": text})
