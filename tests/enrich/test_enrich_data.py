"""Real range tables: written to CSV, read back, and held against `ipaddress` on samples."""

import ipaddress
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oracles.enrich_oracle import country_of
from shoal.enrich import Enricher, read_table

pytestmark = pytest.mark.data


def samples(cidrs: list[str], count: int) -> list[str]:
    """Addresses at and beside the edges of some ranges, and anywhere."""
    chance = random.Random(7)
    found = []
    for cidr in chance.sample(cidrs, count):
        network = ipaddress.ip_network(cidr)
        space = 2**network.max_prefixlen
        for value in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1):
            found.append(str(type(network[0])(value % space)))
        found.append(str(type(network[0])(chance.randrange(space))))
    return found


@pytest.mark.parametrize(
    ("file", "column", "rename"),
    [
        ("country_cidrs.parquet", "country", {}),
        ("x4bnet_ranges.parquet", "network_kind", {"datacenter": "hosting"}),
    ],
)
def test_real_ranges(data_folder: Path, tmp_path: Path, file: str, column: str, rename: dict[str, str]) -> None:
    table = pq.read_table(data_folder / "intel" / file)
    values = table.column("country" if column == "country" else "kind").to_pylist()
    ranges = list(zip(table.column("cidr").to_pylist(), (rename.get(v, v) for v in values), strict=True))
    path = tmp_path / "real.csv"
    path.write_text(f"cidr,{column}\n" + "\n".join(f"{cidr},{value}" for cidr, value in ranges) + "\n")
    enricher = Enricher([read_table(path)])
    asked = samples([cidr for cidr, _ in ranges], 12)
    found = enricher.enrich(pa.table({"ip": asked})).column(column).to_pylist()
    networks = [(ipaddress.ip_network(cidr), value.upper() if column == "country" else value) for cidr, value in ranges]
    want = []
    for address in asked:
        place = ipaddress.ip_address(address)
        near = [(str(n), v) for n, v in networks if n.version == place.version and place in n]
        want.append(country_of(near, address))
    assert found == want
    assert sum(value is not None for value in found) > len(found) / 3
