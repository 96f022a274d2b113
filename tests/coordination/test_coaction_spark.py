"""The same SQL on Spark: the same pairs, the same figures, the same components. A real local Spark, without network."""

from __future__ import annotations

import numpy as np
import pytest
from test_coaction import crew, crowd, table
from test_coaction_components import by_scipy, by_sql

from servers import missing
from shoal.coordination.coaction import CoActionSettings, SparkEngine, coaction
from shoal.coordination.coaction.actions import checked
from shoal.coordination.coaction.find import run

pytestmark = [pytest.mark.extras, pytest.mark.slow]
FIELDS = ("left", "right", "shared", "weight", "jaccard", "chance", "p", "q", "llr")


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        missing("pyspark", "pip install 'shoal[spark]'")
    settings = {
        "spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1", "spark.sql.adaptive.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.memory": "1g", "spark.log.level": "ERROR",
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")), "spark.ui.showConsoleProgress": "false",
    }  # fmt: skip
    builder = SparkSession.builder.master("local[1]").appName("shoal-tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # no Java: its launcher raises what it likes
        missing(f"Spark ({type(error).__name__})", "apt-get install openjdk-17-jre-headless")
    yield session
    session.stop()


def test_spark_and_duckdb_give_the_same(spark):
    rows = crew(accounts=range(4), objects=range(5)) + crowd(rows=1200, objects=200, seed=1)
    busy = [(a, 1, 1_700_000_000_000_000 + a * 1_000_000 + k * 9_000_000) for a in range(40) for k in range(4)]
    events, settings = table(rows + busy), CoActionSettings((60, 86_400), cap=12, least=2)
    one, two = (coaction(events, settings, engine, everybody=True) for engine in (None, SparkEngine(spark)))
    assert one.size > 8
    assert sum(capped.cells for capped in one.capped) > 0
    for field in FIELDS:
        assert np.array_equal(getattr(one, field), getattr(two, field)), field
    assert one.capped == two.capped
    assert one.members.equals(two.members)


def test_a_view_that_spark_has_already(spark):
    events = table(crew() + crowd(rows=800))
    rows = checked(events)
    spark.createDataFrame(rows.table).createOrReplaceTempView("events")
    settings = CoActionSettings((60, 86_400))
    told, wanted = (
        run(SparkEngine(spark), settings, ids=rows.ids, read=len(rows.time)),
        coaction(events, settings),
    )
    for field in FIELDS:
        assert np.array_equal(getattr(told, field), getattr(wanted, field)), field
    assert told.members.num_rows < told.accounts
    assert spark.catalog.listTables()[0].name == "events"
    assert len(spark.catalog.listTables()) == 1
    spark.catalog.dropTempView("events")


def test_components_on_spark(spark):
    chance = np.random.default_rng(7)
    u, v = chance.integers(0, 60, 40), chance.integers(0, 60, 40)
    assert by_sql(SparkEngine(spark), u.tolist(), v.tolist()) == by_scipy(u, v, 60)
    line = list(range(30))
    assert set(by_sql(SparkEngine(spark), line[:-1], line[1:]).values()) == {0}
