"""The canonical layout: meaning, comments and hash stay; laid out twice is laid out once."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pack import FILES, write
from typer.testing import CliRunner

import shoal.packs
from shoal.cli.app import app
from shoal.packs.layout.canonical import alike, canonical, comments
from shoal.packs.layout.files import format_files
from shoal.packs.load import builtin_packs, load_pack
from shoal.packs.yamltree import read_yaml

BUILTIN = Path(shoal.packs.__file__).parent / "builtin"
SOURCES = sorted(BUILTIN.glob("**/*.yaml"))


def laid_out(text):
    problems = []
    found = canonical(text, "x.yaml", problems)
    assert problems == []
    return found


POLICY = "format: shoal.policy\nversion: 1\nthreats:\n  t:\n"
FEATURES = "format: shoal.features\nversion: 1\nfeatures:\n"
CASES = [
    ("a:   1\n", "a: 1\n"),
    ("a:\n    b: 1\n    c:\n        - 1\n        -   2", "a:\n  b: 1\n  c:\n    - 1\n    - 2\n"),
    ("a:\n- 1\n- b: 2\n  c: 3\n", "a:\n  - 1\n  - b: 2\n    c: 3\n"),
    ("a:\n-\n  b: 2\n", "a:\n  - b: 2\n"),
    ("- - 1\n  - 2\n- 3\n", "- - 1\n  - 2\n- 3\n"),
    ("a: { b : 1,c: [1,2 ,3] }\n", "a: {b: 1, c: [1, 2, 3]}\n"),
    ("a: {\n  b: 1,\n  c: 2,\n}\n", "a: {b: 1, c: 2}\n"),
    ("a: [\n1, # one\n2]\n", "a: [\n  1, # one\n  2]\n"),
    ("a: []\nb: {}\n", "a: []\nb: {}\n"),
    ("a: [b: 1, c]\n", "a: [{b: 1}, c]\n"),
    ("a: {b, c: }\n", "a: {b: null, c: null}\n"),
    ("a: 'x'\nb: 'it''s'\nc: 'say \"x\"'\nd: '\\d'\n", 'a: "x"\nb: "it\'s"\nc: \'say "x"\'\nd: \'\\d\'\n'),
    ("#x\na: 1 #y\n\n\n\n#z\nb: 2\n#end", "# x\na: 1  # y\n\n# z\nb: 2\n# end\n"),
    ("a: # x\n  b: 1\n", "a:  # x\n  b: 1\n"),
    ("a:\n\n  # x\n\n  b: 1\n", "a:\n  # x\n\n  b: 1\n"),
    ("a:\n    # x\n  - 1 # one\n  # y\n  - 2\n", "a:\n  # x\n  - 1  # one\n  # y\n  - 2\n"),
    ("a: >\n      one\n      two\n\n\nb: 1\n", "a: >\n  one\n  two\n\nb: 1\n"),
    ("a:\n  - |-\n        one\n          two\n  - 2\n", "a:\n  - |-\n    one\n      two\n  - 2\n"),
    ("a: |2\n    one\n   two\nb: 1\n", "a: |2\n    one\n   two\nb: 1\n"),
    ("a: |+\n  one\n\n\nb: 1\n", "a: |+\n  one\n\n\nb: 1\n"),
    ("a: >  # why\n    one\nb: 1\n", "a: >  # why\n  one\nb: 1\n"),
    ("a: one\n     two\n\n     three # x\nb: 1\n", "a: one\n  two\n\n  three  # x\nb: 1\n"),
    ('a: "one\n     two"\nb: 1\n', 'a: "one\n  two"\nb: 1\n'),
    ("a:\n  b\nc:\n  # x\n  d\n", "a: b\n# x\nc: d\n"),
    ("a:\nb: ~\nc:  # x\n", "a:\nb: ~\nc:  # x\n"),
    ("'a b': 1\n? c\n: 2\n", '"a b": 1\nc: 2\n'),
    ("a: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
    ("\ufeffa: 1\n", "a: 1\n"),
    ("{a: 1,   b: 2}\n", "{a: 1, b: 2}\n"),
    ("a: http://x#y\nb: a#b\n", "a: http://x#y\nb: a#b\n"),
    ("a: 1  \n\n\n\n", "a: 1\n"),
    ("version: 1\nformat: shoal.list\nentries: [b, a]\nkind: text\n",
     "format: shoal.list\nversion: 1\nkind: text\nentries: [b, a]\n"),
    (POLICY + "    # steps\n    steps: [{severity: low, tier: watch}]\n    role: victim\n",
     POLICY + "    role: victim\n    # steps\n    steps: [{tier: watch, severity: low}]\n"),
    (FEATURES + "  z: {window: 1h, operation: count}\n  a:\n    window: 1h\n    operation: count\n",
     FEATURES + "  z: {operation: count, window: 1h}\n  a:\n    operation: count\n    window: 1h\n"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CASES)
def test_layout(before, after):
    assert laid_out(before) == after
    assert laid_out(after) == after


BROKEN = [
    ("a: [1\n", "yaml.syntax"),
    ("a: &x 1\n", "yaml.anchor"),
    ("a: 1\na: 2\n", "yaml.duplicate_key"),
    ("", "yaml.empty"),
    ("a: !!int 1\n", "yaml.tag"),
    ("---\na: 1\n", "fmt.document"),
    ("%YAML 1.2\n---\na: 1\n", "fmt.document"),
]


@pytest.mark.parametrize(("text", "slug"), BROKEN)
def test_what_cannot_be_read_is_left_as_it_is(text, slug):
    problems = []
    assert canonical(text, "x.yaml", problems) == text
    assert [problem.slug for problem in problems] == [slug]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_packs_that_ship_are_laid_out(path):
    text = path.read_text()
    assert laid_out(text) == text


@pytest.mark.parametrize("name", builtin_packs())
def test_a_mess_is_laid_out_and_decides_as_before(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(BUILTIN / name, folder)
    for path in folder.glob("**/*.yaml"):
        path.write_text(mess(path.read_text()))
    before = load_pack(folder)
    changed, problems = format_files([folder], write=True)
    assert problems == ()
    assert changed
    after = load_pack(folder)
    assert before.hash == after.hash
    assert [(t.name, t.events, t.facts) for t in after.tests] == [(t.name, t.events, t.facts) for t in before.tests]
    assert format_files([folder], write=True) == ((), ())


def mess(text):
    """The same meaning: other indentation, spaces behind lines outside of texts, comments and blank lines."""
    lines = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        bare = line.lstrip(" ")
        lines.append(" " * indent * 2 + ("-   " + bare[2:] if bare.startswith("- ") else bare))
        if line.strip() and not line.startswith(" ") and line.endswith(":"):
            lines += ["", "", "#messy"]
    return "\n".join(lines)


SCRAPS = ["\n", "\n\n", " # c\n", "\n#c\n", "  ", "\n   # c\n", ", "]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([text for name, text in FILES.items() if name.endswith(".yaml")]),
    st.lists(
        st.tuples(st.integers(0, 3000), st.sampled_from(["\n", "\n\n", " # c\n", "\n#c\n", "  ", "\n   # c\n", ", "]))
    ),
)
def test_whatever_is_read_keeps_its_meaning(text, edits):
    for place, scrap in edits:
        at = place % (len(text) + 1)
        text = text[:at] + scrap + text[at:]
    problems = []
    tree = read_yaml(text.encode(), "x", problems)
    noted = []
    after = canonical(text, "x", noted)
    assert [p.slug for p in noted] == [p.slug for p in problems]
    if tree is not None and not problems:
        assert alike(tree, read_yaml(after.encode(), "x", []))
        assert comments(after) == comments(text)
        assert canonical(after, "x", []) == after


SCALARS = st.one_of(
    st.text("ab :#'\"-,[]{}|>%\\\n é", max_size=12), st.integers(), st.booleans(), st.none(), st.just("")
)
KEYS = st.text("abc-", min_size=1, max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=4),
    st.sampled_from([None, True, False]),
    st.integers(2, 9),
    st.sampled_from([None, "'", '"', "|", ">"]),
    st.integers(20, 200),
)
def test_generated_documents_keep_their_meaning(value, flow, indent, style, width):
    import yaml

    text = yaml.safe_dump(
        value, default_flow_style=flow, indent=indent, default_style=style, width=width, allow_unicode=True
    )
    problems = []
    tree = read_yaml(text.encode(), "x", problems)
    if tree is None or problems:  # tags, aliases, keys that merge
        return
    noted = []
    after = canonical(text, "x", noted)
    if any(p.slug == "fmt.document" for p in noted):
        return
    assert noted == [], (text, noted)
    assert alike(tree, read_yaml(after.encode(), "x", []))
    assert canonical(after, "x", []) == after


def run(*arguments):
    return CliRunner().invoke(app, ["pack", "fmt", *map(str, arguments)])


def test_the_command(tmp_path):
    folder = write(tmp_path / "p")
    assert run(folder).exit_code == 0
    path = folder / "policy.yaml"
    sound = path.read_text()
    path.write_text(sound.replace("evidence: 12h", "evidence:   12h"))
    found = run("--check", folder)
    assert found.exit_code == 1
    assert "policy.yaml" in found.output
    found = run("--diff", folder)
    assert found.exit_code == 0
    assert "-evidence:   12h\n+evidence: 12h" in found.output
    assert run(path).exit_code == 0
    assert path.read_text() == sound
    assert run("--check", folder).exit_code == 0
    path.write_text("a: [")
    assert run("--check", folder).exit_code == 1
    assert path.read_text() == "a: ["
    assert "fmt.not_found" in str(run(folder, tmp_path / "nothing").exception)


def test_text_lists(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# kind: address\n  192.0.2.1   \n\n192.0.2.2")
    format_files([path], write=True)
    assert path.read_text() == "# kind: address\n192.0.2.1\n\n192.0.2.2\n"
