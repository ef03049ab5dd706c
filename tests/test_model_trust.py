"""What hostile models and archives are told, whatever they hold; nothing of them runs."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

import prefect_ml
from prefect_ml.errors import ArtifactError, IntegrityError, ModelError, PrefectMLError, UntrustedModel
from prefect_ml.serving.runtime.descriptor import read_descriptor
from prefect_ml.serving.runtime.manifest import ManifestError, parse_manifest, verify, write_manifest
from prefect_ml.store.artifacts.archives import BadArchive, Limits, unpack

ROWS = np.array([[1.0], [2.0]])
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = LinearRegression().fit(ROWS, [2.0, 4.0])
    return prefect_ml.save_model(model, tmp_path_factory.mktemp("saved") / "double", requirements=[]).path


def described(folder: Path, content: str | bytes) -> Any:
    (folder / "MLmodel").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_descriptor(folder)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "too many aliases"),
        (MERGES, "too many aliases"),
        ("flavors: &a [*a]", "alias within"),
        ("[" * 20_000, "cannot be read"),
        ("{a: " * 20_000, "cannot be read"),
        ("run_id: " + "1" * 100_000, "too long"),
        ("run_id: " + ":".join(["59"] * 50_000), "too long"),
        ("flavors: {a: {}}\nflavors: {b: {}}", "'flavors' twice"),
        ("flavors: {a: {}, a: {}}", "'a' twice"),
        ("flavors: !!python/object/apply:os.system [id]", "cannot be read"),
        ("flavors: !!timestamp x", "cannot be read"),
        ("flavors: !!bool x", "cannot be read"),
        ("flavors: !!int ''", "cannot be read"),
        ("created: 2001-99-99", "cannot be read|day|month"),
        (b"\xff\xfe", "cannot be read"),
        ("a: 1\n---\nb: 2", "cannot be read"),
        ("", "no flavors"),
        ("flavors: []", "no flavors"),
        ("flavors: {a: 1}", "no flavors"),
        ("flavors: {a: {}}\nmetadata: 3", "no mapping"),
        ("x: " + "y" * 17_000_000, "over"),
    ],
)
def test_a_hostile_descriptor_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        described(tmp_path, content)
    assert "\n" not in str(caught.value)


NAMES = st.sampled_from(["flavors", "signature", "inputs", "outputs", "params", "sklearn", "python_function", "code",
    "pickled_model", "metadata", "saved_input_example_info", "run_id", "<<", "name", "type", "tensor"])  # fmt: skip
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), NAMES)
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | PLAIN, inner, max_size=4),
    max_leaves=20,
)
LINES = st.lists(st.text("ab:{}[]#&*!|>-'\"\t \n,%@`?~<0", max_size=12), max_size=12).map("\n".join)
TEXTS = TREES.map(lambda tree: json.dumps(tree, default=str, skipkeys=True))
SIGNED = st.fixed_dictionaries(
    {
        "flavors": st.just({"sklearn": {}}),
        "signature": st.fixed_dictionaries({}, optional=dict.fromkeys(("inputs", "outputs", "params"), TEXTS | TREES)),
    }
)


@quick
@given(
    content=st.binary(max_size=80)
    | LINES.map(str.encode)
    | (TREES | SIGNED | st.fixed_dictionaries({"flavors": TREES, "signature": TREES})).map(
        lambda tree: yaml.safe_dump(tree).encode()
    )
)
def test_whatever_a_descriptor_holds_it_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        assert described(tmp_path, content).flavors
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most of what is made up is refused


HASH = "0" * 64
ENTRIES = st.fixed_dictionaries({"size": st.integers() | PLAIN, "sha256": st.just(HASH) | PLAIN}) | PLAIN
MANIFESTS = st.fixed_dictionaries({"files": st.dictionaries(st.text(max_size=8), ENTRIES, max_size=4) | PLAIN})


@quick
@given(
    content=st.binary(max_size=80) | MANIFESTS.map(lambda tree: json.dumps(tree, default=str, skipkeys=True).encode())
)
def test_whatever_a_manifest_holds_it_is_read_or_refused(content: bytes) -> None:
    try:
        files, digest = parse_manifest(content)
    except ManifestError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most of what is made up is refused
        return
    assert len(digest) == 64
    assert all(".." not in name.split("/") and entry["size"] >= 0 for name, entry in files.items())


def entry(name: str, size: str = "1") -> str:
    return f'{{"files": {{{json.dumps(name)}: {{"size": {size}, "sha256": "{HASH}"}}}}}}'


@pytest.mark.parametrize(
    "content",
    [
        *(entry(name) for name in ("/etc/passwd", "../a", "a/../../b", "a//b", "./a", "", ".", "a\0b", "a\\b")),
        entry("MANIFEST.json"),
        entry(".prefect-ml/x"),
        *(entry("a", size) for size in ("-1", "1.0", "true", "1e999", "null", '"1"', "1" * 5000)),
        '{"files": {"a": {"size": 1, "sha256": "0"}}}',
        f'{{"files": {{"a": {{"size": 1, "sha256": "{HASH}"}}, "a": {{"size": 2, "sha256": "{HASH}"}}}}}}',
        "[" * 100_000,
        "{}",
        "null",
        "",
    ],
)
def test_a_hostile_manifest_is_refused(saved: Path, tmp_path: Path, home: Path, content: str) -> None:
    with pytest.raises(ManifestError, match=r"MANIFEST\.json"):
        parse_manifest(content.encode())
    for name in ("MLmodel", "MANIFEST.json"):
        (tmp_path / name).write_bytes((saved / name).read_bytes() if name == "MLmodel" else content.encode())
    for look in (prefect_ml.load_model, prefect_ml.inspect_model):
        with pytest.raises(IntegrityError, match=r"MANIFEST\.json"):
            look(tmp_path)


def test_names_that_are_no_text_are_files_like_others(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("x")
    digest = write_manifest(tmp_path)
    assert verify(tmp_path) == digest


def test_what_is_no_file_is_refused_and_not_waited_for(saved: Path, tmp_path: Path, home: Path) -> None:
    for make in (os.mkfifo, lambda path: os.symlink("/etc/passwd", path)):
        folder = tmp_path / "m"
        for name in ("MLmodel", "MANIFEST.json"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_bytes((saved / name).read_bytes())
        make(folder / "requirements.txt")
        with pytest.raises(IntegrityError, match=r"'requirements\.txt' is "):
            prefect_ml.load_model(folder, trust=True)
        (folder / "requirements.txt").unlink()


MARK = "import pathlib; pathlib.Path({path!r}).touch()\n"


@pytest.mark.parametrize(
    "said",
    [
        {"sklearn": {"pickled_model": "../../x.pkl", "serialization_format": "skops"}},
        {"sklearn": {"pickled_model": "x.pkl"}},
        {"python_function": {"loader_module": "evil", "code": "code"}},
        {"python_function": {"loader_module": "evil", "code": "../code"}},
        {"python_function": {"loader_module": "os"}},
        {"sklearn": {"pickled_model": "m.skops", "serialization_format": "skops", "code": "code"}},
    ],
)
def test_nothing_of_a_stranger_runs(tmp_path: Path, home: Path, said: dict[str, Any]) -> None:
    folder = tmp_path / "model"
    for code in (folder / "code", tmp_path / "code"):
        code.mkdir(parents=True)
        for name in ("evil", "sklearn", "skops"):
            (code / f"{name}.py").write_text(MARK.format(path=str(tmp_path / "ran")))
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": said}))
    for look in (prefect_ml.inspect_model, prefect_ml.load_model):
        try:
            look(folder)
        except (UntrustedModel, ModelError):
            continue
    assert not (tmp_path / "ran").exists()
    with pytest.raises((UntrustedModel, ModelError)):
        prefect_ml.load_model(folder)


def test_who_stands_in_for_a_recorded_model_is_refused(home: Path, tmp_path: Path) -> None:
    with prefect_ml.start_run():
        first = prefect_ml.log_model(lambda rows: rows, "a", requirements=[])
        second = prefect_ml.log_model(lambda rows: rows + 1, "b", requirements=[])
    places = [Path(prefect_ml.inspect_model(one.uri).place) for one in (first, second)]
    places[0].rename(tmp_path / "aside")
    places[1].rename(places[0])
    for look in (prefect_ml.load_model, prefect_ml.inspect_model):
        with pytest.raises(IntegrityError, match="recorded"):
            look(first.uri)
    assert prefect_ml.load_model(tmp_path / "aside").predict(1) == 1  # the store knows its bytes wherever they lie


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def tarred(*members: tuple[str, Any], **more: Any) -> bytes:
    """Pack names with their bytes, or with what else the header says."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", **more) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            for key, value in content.items() if isinstance(content, dict) else ():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def link_in_zip() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


OUT = "leads out of its folder"
ODD = "neither a file nor a folder"
ONE = "one file on some disks"
SYM, HARD, DEVICE, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE


def hostile() -> Iterator[tuple[Callable[[], bytes], str]]:
    """Give what packs each archive, as packing takes time and notes it, and what is said of it."""
    for pack in (zipped, tarred):
        yield from ((partial(pack, (name, b"x")), OUT) for name in ("../a", "a/../../b", "/a", "C:/a"))
        yield from ((partial(pack, ("a", b"1"), (name, b"2")), ONE) for name in ("A", "./a"))
        yield partial(pack, ("d/a", b"1"), ("d", b"2")), "file and a folder"
        yield partial(pack, ("d", b"1"), ("d/a", b"2")), "file and a folder"
        yield partial(pack, ("a" * 5000, b"1")), "name that is too long"
        yield lambda pack=pack: pack(("zeros", bytes(300 * 2**20))), "would unpack to"
    yield lambda: tarred(("straße", b"1"), ("STRASSE", b"2")), ONE
    yield lambda: zipped(("a\\b", b"x")), OUT
    yield lambda: zipped((link_in_zip(), b"/etc/passwd")), ODD
    yield lambda: tarred(("a", {"type": SYM, "linkname": "/etc/passwd"})), ODD
    yield lambda: tarred(("a", b"x"), ("b", {"type": HARD, "linkname": "a"})), ODD
    yield lambda: tarred(("a", {"type": DEVICE, "devmajor": 1, "devminor": 3})), ODD
    yield lambda: tarred(("a", {"type": FIFO})), ODD
    yield lambda: tarred(("a", {"type": SYM, "linkname": "/tmp"}), ("a/b", b"x")), ODD
    yield (
        lambda: tarred(("a", b"1"), pax_headers={"comment": "x" * (20 * 2**20)}, format=tarfile.PAX_FORMAT),
        "too long",
    )
    yield tarred, "holds no files"
    yield lambda: tarred(("a", b"x" * 10_000))[:60], "cannot be unpacked"
    yield lambda: zipped(("a", b"x" * 10_000))[:-10], "cannot be unpacked"
    yield lambda: b"", "holds no files|cannot be unpacked"
    yield lambda: b"\x1f\x8b", "cannot be unpacked"
    yield lambda: b"nothing of the kind" * 100, "cannot be unpacked"


@pytest.mark.parametrize(("pack", "said"), tuple(hostile()))
def test_a_hostile_archive_is_refused(tmp_path: Path, home: Path, pack: Callable[[], bytes], said: str) -> None:
    data = pack()
    archive = tmp_path / "m.zip"
    archive.write_bytes(data)
    for look in (prefect_ml.load_model, prefect_ml.inspect_model):
        with pytest.raises(ArtifactError, match=said) as caught:
            look(archive, **({"trust": True} if look is prefect_ml.load_model else {}))
        assert str(archive) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"m.zip", "home"}
    assert [path.name for path in (home / "cache" / "models").iterdir()] == []


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tarred(*((str(n), b"") for n in range(20))))
    with pytest.raises(BadArchive, match="would unpack to 11 files"):
        unpack(tmp_path / "a", tmp_path / "out", limits=Limits(files=10))


def _damaged(pack: Callable[..., bytes]) -> st.SearchStrategy[bytes]:
    whole = pack(("a", b"x" * 50), ("d/b", b"y" * 50))
    spots = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=4)

    def strike(spots: list[tuple[int, int]]) -> bytes:
        data = bytearray(whole)
        for place, value in spots:
            data[place] = value
        return bytes(data)

    return spots.map(strike)


def _bare(*members: tuple[str, bytes]) -> bytes:
    import gzip

    return gzip.decompress(tarred(*members))


@quick
@given(data=_damaged(zipped) | _damaged(tarred) | _damaged(_bare) | st.binary(max_size=600))
def test_whatever_an_archive_holds_it_is_unpacked_inside_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "archive").write_bytes(data)
    try:
        unpack(folder / "archive", folder / "out")
    except BadArchive as error:
        assert "\n" not in str(error)  # noqa: PT017 - most of what is made up is refused
    assert {path.name for path in folder.iterdir()} <= {"archive", "out"}
    assert all(path.is_file() or path.is_dir() for path in folder.rglob("*"))


def test_every_error_of_a_hostile_model_is_ours(saved: Path, tmp_path: Path, home: Path) -> None:
    for content in ("flavors: {sklearn: {pickled_model: [1]}}", "flavors: {unheard_of: {}}", BOMB, "flavors: {1: {}}"):
        (tmp_path / "MLmodel").write_text(content)
        with pytest.raises(PrefectMLError):
            prefect_ml.load_model(tmp_path)
