"""The takeover benchmark's own parts: its world of logins, its thresholds, the reader of the public RBA data set."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.takeover_curve import Point, Scored, point, ratio
from benchmarks.takeover_logins import ATTACKERS, make_logins, read_world
from benchmarks.takeover_rba import MAPPING, read_rba, run, with_probes
from benchmarks.takeover_rows import counted
from benchmarks.takeover_scores import threshold_at
from shoal.adapters.files import FileSource
from shoal.adapters.mapping.mapfile import read_mapping
from shoal.adapters.mapping.source import mapped_format
from shoal.errors import InvalidInput

WORLD = MAPPING.parent / "logins.yaml"
COLUMNS = (
    "index,Login Timestamp,User ID,Round-Trip Time [ms],IP Address,Country,Region,City,ASN,User Agent String,"
    "Browser Name and Version,OS Name and Version,Device Type,Login Successful,Is Attack IP,Is Account Takeover"
)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0"


def line(number: int, user: int, **other: Any) -> str:
    cells = {
        "index": number, "time": f"2020-02-{1 + number % 28:02d} 12:43:{number % 60:02d}.772", "user": user, "rtt": "",
        "ip": f"192.0.2.{user}", "country": "NO", "region": "Oslo", "city": "Oslo", "asn": 29695,
        "agent": AGENT.format(70 + user % 4, 70 + user % 4), "browser": "Firefox 70.0", "os": "Linux",
        "device": "desktop", "ok": "True", "attack": "False", "taken": "False",
    } | other  # fmt: skip
    return ",".join(str(cell) for cell in cells.values())


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """40 people with about 12 logins each, 60 rows from attack addresses, 4 takeovers."""
    rng = np.random.default_rng(2)
    rows = [line(number, 1 + number % 40) for number in range(480)]
    attack = {"attack": "True", "asn": 64501}
    for number in range(480, 540):
        where = {"country": "NO", "region": "Oslo"} if number % 3 else {"country": "BR", "region": "Acre"}
        rows.append(line(number, 99, ip=f"203.0.113.{number % 200}", ok="False", **attack, **where))
    for number in range(540, 544):
        rows.append(line(number, 1 + number % 40, ip="203.0.113.7", country="BR", taken="True", **attack))
    path = tmp_path / "rba.csv"
    path.write_text("\n".join([COLUMNS, *rng.permutation(rows).tolist()]) + "\n")
    return path


def test_the_public_data_set_is_read_and_judged(data_set: Path, tmp_path: Path, capsys: Any) -> None:
    events, dead = read_rba(data_set)
    assert (events.num_rows, dead) == (544, 0)
    assert events["network"][0].as_py() is not None
    logins = with_probes(events)
    assert (logins.attacker == -1).sum() == 480, "failed logins and takeovers are nobody's own logins"
    assert (logins.attacker == ATTACKERS.index("naive")).sum() == 40
    assert (logins.attacker == 3).sum() == 4, "marked takeovers are judged"
    vpn = logins.events.filter(logins.attacker == 1)
    assert set(vpn["country"].to_pylist()) == {"NO"}
    assert set(vpn["type"].to_pylist()) == {"login.attempted"}
    figures, _ = run(data_set, str(tmp_path / "out"))
    assert 0 <= figures["rba_freeman_naive_12_0.995"] <= 1
    assert (tmp_path / "out" / "takeover.rba.parquet").is_file()
    assert "480 logins of 40 accounts" in capsys.readouterr().out


def test_few_accounts_of_many(data_set: Path) -> None:
    events, _ = read_rba(data_set, accounts=10)
    honest = events.filter(~np.asarray(events["attack_ip"].combine_chunks()))
    assert 0 < len(set(honest["account"].to_pylist())) < 25


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(1, 2, time="2020-02-03"), "time.malformed"),
        (line(1, 2, time=""), "time.missing"),
        (line(1, 2, asn="AS29695"), "table.value"),
        (line(1, 2, asn="nan", ok="maybe"), "type.missing"),
        (line(1, 2, ok=""), "type.missing"),
        ("1,2,3", "csv.malformed"),
        (line(1, 2) + ",more", "csv.malformed"),
        (line(1, 2, agent='"open'), "csv.malformed"),
    ],
)
def test_a_bad_row_is_a_dead_letter_and_its_neighbours_are_read(tmp_path: Path, bad: str, reason: str) -> None:
    path = tmp_path / "rba.csv"
    path.write_text("\n".join([COLUMNS, line(0, 1), bad, line(2, 3)]) + "\n")
    parts = list(FileSource([path], mapped_format(read_mapping(MAPPING))))
    assert [letter.reason for part in parts for letter in part.dead] == [reason]
    assert [row for part in parts for row in part.events["account"].to_pylist()] == ["1", "3"]


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rba.csv"
    path.write_text(COLUMNS.replace("User ID", "Account").replace("ASN", "AS") + "\n")
    with pytest.raises(InvalidInput, match="no column 'User ID'") as caught:
        list(FileSource([path], mapped_format(read_mapping(MAPPING))))
    assert {problem.slug for problem in caught.value.problems} == {"mapping.column_absent"}
    assert len(caught.value.problems) == 2


def test_a_world_of_logins() -> None:
    world = replace(read_world(WORLD), accounts=300)
    logins, again = make_logins(world, 4), make_logins(world, 4)
    assert logins.events.equals(again.events)
    assert not logins.events.equals(make_logins(world, 5).events)
    assert (np.diff(logins.events["time"].to_numpy()) >= 0).all()
    probes = logins.attacker >= 0
    assert (logins.before[probes] > 0).all()
    assert set(logins.events.filter(probes)["type"].to_pylist()) == {"login.attempted"}
    assert all((logins.attacker == number).sum() == 300 for number in range(len(ATTACKERS)))
    table = {name: np.array(logins.events[name].to_pylist()) for name in ("account", "asn", "country", "user_agent")}
    own: dict[str, set[Any]] = {}
    for account, asn, agent in zip(*(table[name][~probes] for name in ("account", "asn", "user_agent")), strict=True):
        own.setdefault(account, set()).update((int(asn), agent))
    uses = np.array([agent in own[one] for agent, one in zip(table["user_agent"], table["account"], strict=True)])
    known = {name: uses[logins.attacker == number].mean() for number, name in enumerate(ATTACKERS)}
    assert known["very_targeted"] == 1.0
    assert known["naive"] < 0.2 > known["targeted"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"accounts": 0}, "accounts"),
        ({"away_share": 1.2}, "away_share"),
        ({"families": 12}, "families"),
        ({"version": 2}, "version"),
        ({"acounts": 5}, "acounts"),
        ({"lease_days": "long"}, "lease_days"),
    ],
)
def test_a_world_file_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    whole = msgspec.to_builtins(read_world(WORLD)) | change
    path = tmp_path / "world.yaml"
    path.write_bytes(msgspec.yaml.encode(whole))
    with pytest.raises(msgspec.ValidationError, match=text):
        read_world(path)


def test_thresholds_and_points() -> None:
    scores = np.arange(1000.0)
    assert (scores >= threshold_at(scores, 0.995)).mean() == 0.995
    assert threshold_at(np.array([3.0]), 0.995) == 3.0
    account = np.array([5, 7, 5, 5, 7])
    success = np.array([True, True, False, True, True])
    before, total = counted(account, success)
    assert before.tolist() == [0, 0, 1, 1, 1]
    assert total.tolist() == [2] * 5
    ours, theirs = (
        Point(np.array([1.0, 0, 0]), np.array([4.0, 4, 4]), 4),
        Point(np.array([2.0, 1, 1]), np.full(3, 4.0), 4),
    )
    assert (theirs.median, theirs.mean) == (0.25, pytest.approx(1 / 3))
    found, low, high = ratio(ours, theirs)
    assert found == 0.25
    assert 0 <= low <= found <= high <= 0.5


def test_both_detectors_get_a_threshold_on_the_same_attempts() -> None:
    logins = make_logins(replace(read_world(WORLD), accounts=400), 4)
    perfect = (logins.attacker >= 0).astype(float)
    worlds = [Scored(logins, {"perfect": perfect, "blind": 0 * perfect}, {})]
    assert point(worlds, "perfect", "vpn", 12).mean == 0.0
    assert point(worlds, "blind", "vpn", 12).mean == 1.0
