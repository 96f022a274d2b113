"""A model file: written, read, verified, refused; scores, levels and reasons in words."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.detectors.models.definition import Input
from shoal.detectors.models.metadata import (
    METADATA_FILE,
    MODEL_FORMAT,
    MODEL_VERSION,
    TREES_FILE,
    Calibration,
    InputColumn,
    Level,
    Metadata,
    Origin,
    encode,
)
from shoal.detectors.models.model import LIMITS, Model, write_model
from shoal.detectors.models.words import phrase
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.events.schema import Kind

COLUMNS = [
    InputColumn("login.failed_10m", "int", "aaaa", "failed logins in 10 min", typical=0.0, high=2.0),
    InputColumn("mfa", "bool", "column", "a second factor is set", typical=1.0, high=1.0),
    InputColumn("size_bytes", "float", "column", "bytes taken in an hour", "bytes", typical=2e4, high=3e6, missing=0.1),
]


def booster(seed: int = 0, names: list[str] | None = None) -> lightgbm.Booster:
    chance = np.random.default_rng(seed)
    x = np.column_stack([chance.poisson(1, 600), chance.random(600) < 0.5, chance.lognormal(9, 3, 600)])
    y = (x[:, 0] + 2 * (1 - x[:, 1]) + np.log(x[:, 2]) / 9 > 3.0).astype(float)
    quiet = {"verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
    data = lightgbm.Dataset(x, y, feature_name=names or "auto")
    return lightgbm.train(quiet | {"objective": "binary", "num_leaves": 7}, data, 20)


def metadata(**changes: Any) -> Metadata:
    levels = [Level("watch", 0.0, 50.0, 48.0, 40.0, 57.0), Level("restrict", 2.0, 1.0, 0.9, 0.4, 1.9)]
    origin = Origin("file_sharing", "1.0", "ab" * 8, 1, 9_000, 1_700_000_000_000_000, 5_000, 60, 900, 12)
    whole: dict[str, Any] = {
        "format": MODEL_FORMAT,
        "version": MODEL_VERSION,
        "name": "takeover.login",
        "threat": "takeover",
        "made_at": "2026-05-01T12:00:00+00:00",
        "definition": "0123456789abcdef",
        "on": "type = 'login.succeeded'",
        "subject": "account",
        "labels": ["hijacked"],
        "inputs": COLUMNS,
        "calibration": Calibration("isotonic", [-2.0, 0.0, 3.0], [0.0, 0.25, 0.75], 1_000, 40),
        "levels": levels,
        "origin": origin,
        "protocol": {"split": "by time"},
        "metrics": {"auc": 0.98, "ap": None},
        "edges": [-1.0, 1.0],
        "shares": [0.5, 0.3, 0.2],
        "sha256": {},
    }
    return Metadata(**(whole | changes))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return write_model(booster().model_to_string(), metadata())


@pytest.fixture(scope="module")
def model(files: dict[str, bytes]) -> Model:
    return Model.read(files, "model")


def rows(n: int) -> np.ndarray:
    chance = np.random.default_rng(7)
    x = np.column_stack([chance.poisson(2, n), chance.random(n) < 0.5, chance.lognormal(9, 3, n)])
    x[chance.random(x.shape) < 0.2] = np.nan
    return x


def test_written_and_read_it_is_the_same(files: dict[str, bytes], model: Model, tmp_path: Path) -> None:
    assert json.loads(files[METADATA_FILE])["sha256"] == {TREES_FILE: hashlib.sha256(files[TREES_FILE]).hexdigest()}
    assert encode(model.metadata) == files[METADATA_FILE]
    assert write_model(files[TREES_FILE].decode(), metadata()) == files
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "card.html").write_text("not part of the model")
    again = Model.folder(tmp_path)
    assert again.identity == model.identity
    assert again.raw(rows(50)).tolist() == model.raw(rows(50)).tolist()
    assert again.inputs == ("login.failed_10m", "mfa", "size_bytes")


def test_the_identity_is_that_of_both_files(model: Model) -> None:
    others = [
        Model.read(write_model(booster(1).model_to_string(), metadata()), ""),
        Model.read(write_model(booster(0).model_to_string(), metadata(threat="abuse")), ""),
    ]
    assert len({model.identity, *(other.identity for other in others)}) == 3
    assert len(model.identity) == 16


def test_one_call_says_the_same(model: Model) -> None:
    for n in (0, 1, 5, 8, 200):
        x = rows(n)
        raw, score, level = np.empty(n), np.empty(n), np.empty(n, np.int64)
        model.judge(x, raw, score, level)
        assert raw.tolist() == model.raw(x).tolist() == booster().predict(x, raw_score=True).tolist() if n else True
        assert score.tolist() == model.score(raw).tolist()
        assert level.tolist() == model.level(raw).tolist()


def test_warming_up_changes_nothing(model: Model) -> None:
    before = model.raw(rows(9)).tolist()
    model.warm()
    assert model.raw(rows(9)).tolist() == before


def test_levels_count_the_thresholds_and_an_absent_one_is_skipped(model: Model) -> None:
    assert model.level([-9.0, -1e-12, 0.0, 1.9, 2.0, 50.0]).tolist() == [0, 0, 1, 1, 3, 3]


POINTS = st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda p: p[0])


@settings(max_examples=60, deadline=None)
@given(POINTS, st.lists(st.floats(-60, 60), min_size=1, max_size=20))
def test_scores_lie_on_the_calibration(points: list[tuple[float, float]], raws: list[float]) -> None:
    x, y = sorted(p[0] for p in points), sorted(p[1] for p in points)
    made = metadata(calibration=Calibration("isotonic", x, y))
    model = Model.read(write_model(TEXT, made), "")
    asked = sorted(raws + x)
    found = model.score(asked)
    assert found == pytest.approx(np.interp(asked, x, y), abs=1e-12)
    assert (np.diff(found) >= 0).all()
    assert y[0] <= found.min() <= found.max() <= y[-1]
    assert [float(model.score([one])[0]) for one in asked] == found.tolist()


TEXT = booster().model_to_string()


def test_rows_of_another_shape_are_refused(model: Model) -> None:
    for x in (np.zeros((3, 2)), np.zeros(3), np.zeros((1, 1, 3))):
        for call in (model.raw, model.reasons, model.contributions):
            with pytest.raises(InvalidInput, match=r"allowed: n x 3.*model\.rows"):
                call(x)
    with pytest.raises(InvalidInput, match=r"model\.rows"):
        model.judge(np.zeros((1, 2)), np.empty(1), np.empty(1), np.empty(1, np.int64))


def test_reasons_raise_the_score_and_stand_by_weight(model: Model) -> None:
    x = np.array([[9.0, 0.0, 5e6], [0.0, 1.0, 10.0], [9.0, np.nan, 2e4]])
    shares = model.contributions(x)
    found = model.reasons(x, top=2)
    assert shares.sum(axis=1) + model._paths.expected == pytest.approx(model.raw(x))
    for row, reasons in zip(shares, found, strict=True):
        assert len(reasons) == min((row > 0).sum(), 2)
        heads = [COLUMNS[i].description for i in np.argsort(-row)[: len(reasons)]]
        assert [reason.split(":")[0] for reason in reasons] == heads
    assert "failed logins in 10 min: 9 (usually 0, rarely above 2)" in found[0]
    assert model.reasons(x[:1], top=0) == [[]]
    assert model.reasons(x[1:2], top=2) == [found[1]]


def test_inputs_are_checked_all_at_once(model: Model) -> None:
    good = {
        "login.failed_10m": Input("login.failed_10m", Kind.INT, "aaaa"),
        "mfa": Input("mfa", Kind.BOOL),
        "size_bytes": Input("size_bytes", Kind.FLOAT),
        "other": Input("other", Kind.TEXT),
    }
    model.check(good)
    bad = {
        "login.failed_10min": good["login.failed_10m"],
        "mfa": Input("mfa", Kind.INT),
        "size_bytes": Input("size_bytes", Kind.FLOAT, "bbbb"),
    }
    with pytest.raises(InvalidInput) as caught:
        model.check(bad)
    missing, kind, changed = caught.value.problems
    assert (missing.slug, missing.nearest) == ("model.input_missing", "login.failed_10min")
    assert "'login.failed_10m'" in missing.message
    assert "shoal learn fit takeover.login" in missing.hint
    assert (kind.slug, kind.allowed) == ("model.input_kind", "bool")
    assert (changed.slug, changed.allowed) == ("model.input_changed", "column")


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(whole: dict[str, Any]) -> None:
        place: Any = whole
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "an unknown key": (put("thresholds", value=1), "model.shape", ""),
    "a key missing": (lambda w: w.pop("calibration"), "model.shape", ""),
    "a key missing within": (lambda w: w["levels"][0].pop("threshold"), "model.shape", "levels[0]"),
    "a text for a number": (put("levels", 0, "threshold", value="1"), "model.shape", "levels[0].threshold"),
    "null for a number": (put("calibration", "x", 1, value=None), "model.shape", "calibration.x[1]"),
    "a level that is none": (put("levels", 0, "name", value="allow"), "model.shape", "levels[0].name"),
    "a probability above 1": (put("calibration", "y", 2, value=1.5), "model.shape", "calibration.y[2]"),
    "a share above 1": (put("inputs", 2, "missing", value=7), "model.shape", "inputs[2].missing"),
    "a name with a path": (put("name", value="../x"), "model.name", "name"),
    "a name of a megabyte": (put("name", value="x" * 1_000_000), "model.name", "name"),
    "a subject with blanks": (put("subject", value="an account"), "model.name", "subject"),
    "a definition that is no hash": (put("definition", value="xyz"), "model.hash_form", "definition"),
    "no hash of the trees": (put("sha256", value={}), "model.hash_form", "sha256"),
    "a hash of another file": (lambda w: w["sha256"].update(x="0" * 64), "model.hash_form", "sha256"),
    "a short hash": (put("sha256", TREES_FILE, value="0" * 63), "model.hash_form", "sha256"),
    "a time that is none": (put("made_at", value="yesterday"), "model.time", "made_at"),
    "a time without a zone": (put("made_at", value="2026-01-01T00:00:00"), "model.time", "made_at"),
    "no labels": (put("labels", value=[]), "model.labels", "labels"),
    "no inputs": (put("inputs", value=[]), "model.inputs", "inputs"),
    "the same input twice": (put("inputs", 1, "name", value="size_bytes"), "model.inputs", "inputs.size_bytes"),
    "an input without a name": (put("inputs", 1, "name", value=""), "model.inputs", "inputs.1"),
    "a text input": (put("inputs", 1, "kind", value="text"), "model.kind", "inputs.mfa"),
    "a kind in capitals": (put("inputs", 1, "kind", value="BOOL"), "model.kind", "inputs.mfa"),
    "an escape in a description": (put("inputs", 1, "description", value="\x1b[2J"), "model.text", "inputs.mfa"),
    "usual above rare": (put("inputs", 1, "typical", value=2.0), "model.typical", "inputs.mfa"),
    "an input too few": (lambda w: w["inputs"].pop(), "model.inputs", "inputs"),
    "an input too many": (lambda w: w["inputs"].append(w["inputs"][0] | {"name": "x"}), "model.inputs", "inputs"),
    "a histogram that does not add up": (
        put("inputs", 1, "shares", value=[0.9]),
        "model.histogram",
        "inputs.mfa.shares",
    ),
    "shares that do not fit edges": (put("shares", value=[0.5, 0.5]), "model.histogram", "shares"),
    "edges that fall": (put("edges", value=[1.0, 1.0]), "model.histogram", "edges"),
    "a negative share": (put("shares", value=[0.5, 0.6, -0.1]), "model.histogram", "shares"),
    "no calibration": (put("calibration", value={"method": "x", "x": [], "y": []}), "model.calibration", "calibration"),
    "a point without y": (lambda w: w["calibration"]["y"].pop(), "model.calibration", "calibration"),
    "x that does not rise": (put("calibration", "x", 1, value=-2.0), "model.calibration", "calibration.x"),
    "y that falls": (put("calibration", "y", 1, value=0.8), "model.calibration", "calibration.y"),
    "more positives than rows": (put("calibration", "rows", value=3), "model.count", "calibration"),
    "levels out of order": (lambda w: w["levels"].reverse(), "model.levels", "levels"),
    "a level twice": (put("levels", 1, "name", value="watch"), "model.levels", "levels"),
    "thresholds out of order": (put("levels", 1, "threshold", value=-1.0), "model.levels", "levels.restrict"),
    "an interval without its figure": (put("levels", 1, "low", value=1.0), "model.levels", "levels.restrict"),
    "a negative budget": (put("levels", 1, "budget", value=-1.0), "model.levels", "levels.restrict"),
    "a journal range backwards": (put("origin", "last_seq", value=0), "model.count", "origin"),
    "more positive subjects than subjects": (put("origin", "subjects", value=3), "model.count", "origin.subjects"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, files: dict[str, bytes]) -> None:
    change, slug, path = MALFORMED[name]
    whole = json.loads(files[METADATA_FILE])
    change(whole)
    with pytest.raises(InvalidInput) as caught:
        Model.read(files | {METADATA_FILE: json.dumps(whole).encode()}, "model")
    assert (slug, path) in [(problem.slug, problem.where.path) for problem in caught.value.problems]
    assert all(problem.where.file == "model" and len(str(problem)) < 600 for problem in caught.value.problems)


NOT_JSON = {
    "nothing": b"",
    "a list": b"[]",
    "cut off": b'{"format": "shoal.model", "version": 1, "name": "x',
    "nan": b'{"format": "shoal.model", "version": 1, "edges": [NaN]}',
    "a number out of range": b'{"format": "shoal.model", "version": 1, "edges": [1e999]}',
    "no UTF-8": b'{"format": "shoal.model", "version": 1, "name": "\xff"}',
    "nested": b'{"format": "shoal.model", "version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "too large": b" " * (LIMITS[METADATA_FILE] + 1),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_not_the_json(name: str, files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidInput, match=r"model\.(json|shape|size)\]"):
        Model.read(files | {METADATA_FILE: NOT_JSON[name]}, "model")


def test_problems_are_told_together(files: dict[str, bytes]) -> None:
    whole = json.loads(files[METADATA_FILE])
    whole["labels"], whole["definition"], whole["edges"] = [], "?", [2.0, 1.0]
    with pytest.raises(InvalidInput) as caught:
        Model.read(files | {METADATA_FILE: json.dumps(whole).encode()}, "model")
    assert [problem.slug for problem in caught.value.problems] == [
        "model.hash_form", "model.labels", "model.histogram",
    ]  # fmt: skip


def test_another_format_or_version_is_named(files: dict[str, bytes]) -> None:
    for key, value in (("format", "other.model"), ("version", 2), ("version", 0)):
        whole = json.loads(files[METADATA_FILE]) | {key: value, "new_in_it": 1}
        with pytest.raises(Unsupported, match=r"model: format .* this release reads .*model\.format"):
            Model.read(files | {METADATA_FILE: json.dumps(whole).encode()}, "model")


def test_trees_that_are_not_those_of_the_metadata(files: dict[str, bytes]) -> None:
    changed = files[TREES_FILE].replace(b"shrinkage=0.1", b"shrinkage=0.2", 1)
    assert changed != files[TREES_FILE]
    with pytest.raises(Corrupt, match=r"model\.txt is not the file that model\.json was written for.*model\.hash"):
        Model.read(files | {TREES_FILE: changed}, "model")


def test_files_absent_unknown_or_too_large(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Model.read({"models.txt": b"", METADATA_FILE: b""}, "model")
    told = [(problem.slug, problem.nearest) for problem in caught.value.problems]
    assert told == [("model.file", TREES_FILE), ("model.file", "")]
    (tmp_path / METADATA_FILE).write_bytes(b" " * (LIMITS[METADATA_FILE] + 1))
    with pytest.raises(InvalidInput) as caught:
        Model.folder(tmp_path)
    assert {problem.slug for problem in caught.value.problems} == {"model.file", "model.size"}
    with pytest.raises(InvalidInput, match=r"cannot read model\.json: No such file"):
        Model.folder(tmp_path / "nowhere")


def test_columns_in_another_order_than_the_trees(files: dict[str, bytes]) -> None:
    names = [column.name for column in COLUMNS]
    named = booster(names=names).model_to_string()
    assert Model.read(write_model(named, metadata()), "").trees.names == tuple(names)
    with pytest.raises(InvalidInput, match=r"input 0 is 'mfa' here and 'login.failed_10m' in the trees"):
        write_model(named, metadata(inputs=[COLUMNS[1], COLUMNS[0], COLUMNS[2]]))


def column(kind: str = "float", unit: str = "", typical: float | None = None, high: float | None = None) -> InputColumn:
    return InputColumn("x", kind, "column", "it", unit, typical, high, 0.02)


WORDS = [
    (column("int", "", 0, 2), 41, "it: 41 (usually 0, rarely above 2)"),
    (column("int", "", 0, 0), 1, "it: 1 (usually 0, rarely more)"),
    (column("int", "", 7, 90), 0, "it: 0 (usually 7)"),
    (column("int", "", 7, 90), 7, "it: 7 (as usual)"),
    (column("int"), 1_234_567, "it: 1,234,567"),
    (column("float", "km/h", 4.25, 900), 8_123.4, "it: 8,123 km/h (usually 4.25 km/h, rarely above 900 km/h)"),
    (column("bool", "", 0, 1), 1, "it: yes (usually no)"),
    (column("bool", "", 0, 1), 0, "it: no (as usual)"),
    (column("bool"), 1, "it: yes"),
    (column("float", "", 1, 2), np.nan, "it: not known (known in 98 % of cases)"),
    (InputColumn("it", "float", "column", missing=0.9), np.nan, "it: not known"),
    (column("float", "s", 86_400 * 90, 86_400 * 900), 45, "it: 45 s (usually 90 d)"),
    (column("float", "s", 45, 150), 5_400, "it: 1.5 h (usually 45 s, rarely above 2.5 min)"),
    (column("float", "s"), 0.0, "it: 0 s"),
    (column("int", "us"), 1_500_000, "it: 1.5 s"),
    (column("int", "bytes", 512, 3e6), 7.25e9, "it: 7.25 GB (usually 512 bytes, rarely above 3 MB)"),
    (column("float", "probability", 0.01, 0.2), 0.931, "it: 93.1 % (usually 1 %, rarely above 20 %)"),
    (column("time"), 1_767_312_000_000_000, "it: 2026-01-02 00:00 UTC"),
    (column("time"), 1e300, "it: 1e+300 µs"),
    (column("float"), -0.000123456, "it: -0.000123"),
    (column("float"), np.inf, "it: inf"),
    (column("float"), -0.0, "it: 0"),
    (column("float"), 999.9996, "it: 1,000"),
    (column("int", "bytes"), 999_999, "it: 1,000 kB"),
]


@pytest.mark.parametrize(("given_column", "value", "text"), WORDS)
def test_words(given_column: InputColumn, value: float, text: str) -> None:
    assert phrase(given_column, value) == text
