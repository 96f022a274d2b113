"""The manual of the readers: lines in, tables out; and the pages say what the tables of the code say."""

import json
from pathlib import Path

from shoal.adapters.mapping.mapfile import read_mapping
from shoal.events.deadletters import REASONS
from shoal.events.formats import FORMATS
from shoal.events.formats.tables import cloudtrail, dropbox, m365, ocsf, workspace
from shoal.events.schema import GIVEN_COLUMNS

DOCS = Path(__file__).resolve().parents[2] / "docs"
FORMATS_PAGE = (DOCS / "formats.md").read_text(encoding="utf-8")
SUITES_PAGE = (DOCS / "formats-suites.md").read_text(encoding="utf-8")
TABLES_PAGE = (DOCS / "formats-tables.md").read_text(encoding="utf-8")
EVENTS_PAGE = (DOCS / "events.md").read_text(encoding="utf-8")


def test_a_native_line_becomes_a_row() -> None:
    line = (
        b'{"time":"2024-01-01T10:00:00+01:00","type":"file.downloaded","account":"a","ip":"192.0.2.7:443","plan":"x"}'
    )
    decoded = FORMATS["native"].decoder("web", "part-0").decode(line, 41)
    assert decoded.events.to_pylist() == [
        {
            "source": "web",
            "partition": "part-0",
            "offset": 41,
            "time": 1_704_099_600_000_000,  # 09:00 UTC
            "type": "file.downloaded",
            "account": "a",
            "ip": "192.0.2.7",
            "attributes": '{"plan":"x"}',
        }
    ]


def test_a_bad_line_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    block = b'{"type":"a.b"}\n{"time":1,"type":"a.b"}\n'
    decoded = FORMATS["native"].decoder("web", "part-0").decode(block, 0)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(0, "time.missing")]
    assert decoded.events.num_rows == 1
    assert decoded.read == 2


def test_the_examples_of_the_page_are_read() -> None:
    text = FORMATS_PAGE.partition("```json\n")[2].partition("```")[0]
    decoded = FORMATS["native"].decoder("s", "p").decode(text.encode(), 0)
    assert (decoded.events.num_rows, decoded.facts.num_rows, decoded.labels.num_rows) == (1, 1, 1)
    assert decoded.dead == ()


def test_the_pages_hold_every_line_of_the_tables() -> None:
    for reason, meaning in REASONS.items():
        assert f"| `{reason}` | {meaning} |" in FORMATS_PAGE
    for column in GIVEN_COLUMNS:
        assert f"| `{column.name}` | {column.kind.name.lower()} | {column.doc} |" in EVENTS_PAGE
    for table in (cloudtrail.COLUMNS, m365.COLUMNS, ocsf.COLUMNS):
        for line in table:
            paths = ", ".join(f"`{path}`" for path in line.paths)
            assert f"| `{line.name}` | {paths} | {line.transform} |" in FORMATS_PAGE
    for operations in (cloudtrail.BY_OPERATION, m365.BY_OPERATION, cloudtrail.TYPES, m365.TYPES):
        for operation in operations:
            assert f"`{operation}`" in FORMATS_PAGE
    for name, (class_uid, activity) in ocsf.CLASS_OF_TYPE.items():
        assert f"| `{name}` | {class_uid} | {activity} |" in FORMATS_PAGE


def test_a_mapping_back_reads_as_the_type_it_came_from() -> None:
    for name, (class_uid, activity) in ocsf.CLASS_OF_TYPE.items():
        if name == "login.failed":
            continue
        line = json.dumps({"class_uid": class_uid, "activity_id": activity, "time": 0}).encode()
        decoded = FORMATS["ocsf"].decoder("s", "p").decode(line, 0)
        assert decoded.events.column("type").to_pylist() == [name]


def test_the_page_of_the_suites_holds_every_line_of_their_tables() -> None:
    for line in (*workspace.COLUMNS, *dropbox.COLUMNS):
        paths = ", ".join(f"`{path}`" for path in line.paths)
        assert f"| `{line.name}` | {paths} | {line.transform} |" in SUITES_PAGE
    for names in (*workspace.TYPES.values(), dropbox.TYPES):
        for name, kind in names.items():
            assert any(f"`{kind}` |" in line and f"`{name}`" in line for line in SUITES_PAGE.splitlines())
    for name in workspace.BY_EVENT:
        assert f"| `{name}` | `" in SUITES_PAGE


def test_what_ocsf_is_written_as_stands_on_its_page() -> None:
    for name, path in ocsf.WRITTEN.items():
        assert f"| `{name}` | `{path}` |" in FORMATS_PAGE
    for name, (class_uid, activity) in ocsf.NEAR_CLASS.items():
        assert f"| `{name}` | {class_uid} | {activity} |" in FORMATS_PAGE


def test_the_examples_of_the_suites_are_read() -> None:
    examples = [part.partition("```")[0] for part in SUITES_PAGE.split("```json\n")[1:]]
    for name, text, kind in zip(("workspace", "dropbox"), examples, ("login.succeeded", "folder.shared"), strict=True):
        line = json.dumps(json.loads(text)).encode()
        decoded = FORMATS[name].decoder("s", "p").decode(line, 0)
        assert decoded.events.column("type").to_pylist() == [kind]


def test_the_mapping_of_the_page_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(TABLES_PAGE.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    assert read_mapping(path).columns == ("When", "action", "User ID", "ip", "mb", "result")
