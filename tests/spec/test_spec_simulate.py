"""docs/simulator.md is the manual: its example runs, its tables are the schema's, its columns are what is made."""

import dataclasses
import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from shoal.simulate import BENIGN_KINDS, GROUP_KINDS, KINDS, builtin_scenario, builtin_scenarios, simulate, write_world
from shoal.simulate.catalogue import TYPES
from shoal.simulate.scenario import ADVERSARIES, Scenario, parse_scenario

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
ALWAYS = {
    "event_id", "time", "received", "source", "type", "ip", "country", "lat", "lon", "asn", "network_kind",
    "user_agent", "client",
}  # fmt: skip
SIGNED = {"actor", "account", "session", "device"}


def shown(value):
    """A default as one writes it in YAML."""
    if value is None:
        return "not asked"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "empty"


def knob_rows(cls, path=""):
    """The rows of the reference: one a knob."""
    rows = []
    for item in dataclasses.fields(cls):
        meta, name = item.metadata, f"{path}{item.name}"
        inner = item.default_factory
        if dataclasses.is_dataclass(inner):
            rows += knob_rows(inner, f"{name}.")
            continue
        if meta.get("required"):
            default = "required"
        elif inner is not dataclasses.MISSING:
            default = shown(inner())
        else:
            default = shown(item.default)
        if "choices" in meta:
            allowed = ", ".join(f"`{c}`" for c in meta["choices"])
        elif "pattern" in meta:
            allowed = f"`{meta['pattern']}`"
        elif meta.get("lo") is not None:
            allowed = f"{meta['lo']:g} to {meta['hi']:g}"
        else:
            allowed = ""
        rows.append(f"| `{name}` | {default} | {allowed} | {meta['doc']} |")
        if "item" in meta:
            rows += knob_rows(meta["item"], f"{name}[].")
    return rows


def reference():
    """The reference part of the page."""
    parts = ["| key | default | allowed | meaning |", "|---|---|---|---|", *knob_rows(Scenario)]
    for kind, cls in ADVERSARIES.items():
        parts += ["", f"### `{kind}`", "", (cls.__doc__ or "").strip(), ""]
        parts += ["| key | default | allowed | meaning |", "|---|---|---|---|", *knob_rows(cls)]
    return "\n".join(parts)


def test_the_reference_is_the_schemas():
    begin, end = "<!-- reference: made by tests/spec/test_spec_simulate.py -->\n", "\n<!-- end of reference -->"
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(begin) == page.count(end) == 1
    assert page.split(begin)[1].split(end)[0] == reference()


def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```yaml\n(shoal_scenario:.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    world = simulate(parse_scenario(example, "docs/simulator.md"))
    manifest = write_world(world, tmp_path)
    assert manifest.events > 2000
    kinds = set(pl.from_arrow(world.labels())["kind"])
    assert {a.kind for a in world.scenario.adversaries} - kinds <= {"account_takeover"}


def test_the_example_of_expectations_is_read():
    page = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(shoal_scenario:.*?)```", page, re.S)
    (more,) = re.findall(r"```yaml\n(quick:.*?)```", page, re.S)
    scenario = parse_scenario(example + more, "docs/simulator.md")
    assert scenario.quick
    assert scenario.expect.count == 5


def test_the_python_example_runs(tmp_path, monkeypatch):
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    monkeypatch.chdir(tmp_path)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/simulator.md", "exec"), {})  # our own page
    assert (tmp_path / "world" / "world.json").exists()


def test_the_page_names_what_there_is():
    page = PAGE.read_text(encoding="utf-8")
    for word in (*KINDS, *BENIGN_KINDS, *GROUP_KINDS, *TYPES, *builtin_scenarios()):
        assert f"`{word}`" in page, word


def promised():
    """Type → columns that the page's first table says are filled in every row, and those of some rows."""
    out = {}
    for line in PAGE.read_text(encoding="utf-8").split("## Scenario files")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            for kind in re.findall(r"`([a-z.]+)`", cells[0]):
                said = re.sub(r"\([^()]*\)", "", cells[1]).partition("in some rows")
                out[kind] = tuple(set(re.findall(r"`([a-z_0-9]+)`", part)) for part in said[::2])
    return out


@pytest.fixture(scope="module")
def events():
    tables = []
    for name in (
        "fortnight",
        "giveaway-abuse",
        "data-theft",
        "malware-and-reupload",
        "service-incident",
        "ransomware",
        "operations",
    ):
        scenario = builtin_scenario(name)
        people = dataclasses.replace(scenario.population, accounts=3000 if name == "fortnight" else 700)
        tables += simulate(dataclasses.replace(scenario, population=people), seed=5).blocks()
    return pl.from_arrow(pa.concat_tables(tables, promote_options="default"))


SYSTEM = ("abuse.resolved", "link.stopped", "file.removed")


def test_every_type_has_the_columns_that_the_page_promises(events):
    table = promised()
    assert set(table) == set(TYPES) == set(events["type"])
    for kind, (columns, now_and_then) in table.items():
        rows = events.filter(pl.col("type") == kind)
        filled = {name for name in rows.columns if rows[name].null_count() == 0}
        some = {name for name in rows.columns if rows[name].null_count() < rows.height}
        identified = kind not in (
            "login.failed", "challenge.issued", "challenge.passed", "challenge.failed", "password.reset", *SYSTEM,
        )  # fmt: skip
        anonymous = kind in ("link.visited", "link.downloaded", "abuse.reported")
        always = {"event_id", "time", "received", "source", "type"} if kind in SYSTEM else ALWAYS
        always = always | (SIGNED if identified and not anonymous else set()) | columns
        sometimes = {"org", "referrer", "recipient_org"} | now_and_then
        if kind == "file.downloaded":  # by applications
            assert rows.filter(pl.col("device").is_null() != pl.col("app").is_not_null()).height == 0
            sometimes |= {"device"}
        assert now_and_then <= some - filled, (kind, now_and_then)
        assert always - sometimes <= filled, (kind, always - sometimes - filled)
        allowed = always | sometimes | (SIGNED if anonymous else set())
        assert some <= allowed, (kind, some - allowed)
