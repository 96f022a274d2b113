"""What only a store on a server can meet: lost connections, refused users, foreign encodings, secrets in messages."""

import logging
import traceback

import pytest
import sqlalchemy as sa
from test_store_contract import action, batch, decision

import servers
from shoal.errors import InvalidInput, Permanent, Temporary
from shoal.storage.engines import locks
from shoal.storage.store import Store

pytestmark = pytest.mark.extras


@pytest.fixture
def opener(postgres_database, tmp_path, monkeypatch):
    monkeypatch.setattr(locks.Writer.__init__, "__kwdefaults__", {"wait_s": 0.3})
    opened = []

    def open_store(url=postgres_database, **settings):
        opened.append(Store.open(url, dead_letters=tmp_path / "dead.ndjson", **settings))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


def asked(url, query, **values):
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.execute(sa.text(query), values)
        rows = found.all() if found.returns_rows else []
    engine.dispose()
    return rows


def cut_the_writer(url):
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND database = " \
            "(SELECT oid FROM pg_database WHERE datname = current_database())"  # fmt: skip
    assert asked(url, query) == [(True,)]


def test_a_lost_connection_is_temporary_and_the_next_commit_wins_the_lock_again(opener, postgres_database):
    store = opener()
    store.commit(batch(0, 5))
    cut_the_writer(postgres_database)
    with pytest.raises(Temporary):
        store.commit(batch(5, 6, decisions=[decision(5)]))
    assert (store.position().next_seq, store.read_decisions()) == (5, [])
    store.commit(batch(5, 6, decisions=[decision(5)]))
    assert (store.position().next_seq, len(store.read_decisions())) == (6, 1)
    with pytest.raises(Temporary, match="another process writes"):
        opener()


def test_a_writer_that_lost_its_lock_to_another_commits_nothing_more(opener, postgres_database):
    first = opener()
    first.commit(batch(0, 5))
    cut_the_writer(postgres_database)
    second = opener()
    for _ in range(2):
        with pytest.raises(Temporary):
            first.commit(batch(5, 6))
    second.commit(batch(5, 7))
    assert second.position().next_seq == 7


def test_two_schemas_of_one_database_are_two_stores(opener, postgres_database):
    asked(postgres_database, "CREATE SCHEMA other")
    here = opener()
    there = opener(f"{postgres_database}?options=-csearch_path%3Dother")
    here.commit(batch(0, 5))
    there.commit(batch(0, 3))
    assert (here.position().next_seq, there.position().next_seq) == (5, 3)


def shown(caught, caplog):
    return "".join(traceback.format_exception(caught.value)) + caplog.text


def test_no_message_or_log_shows_a_password(opener, postgres_database, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    word = "hushhush"
    url = sa.make_url(postgres_database)
    gone = url.set(port=servers.free_port())
    bads = [url.set(password=word), gone.set(password=word), gone.update_query_dict({"password": word})]
    for bad in (*bads, url.set(password=word, database="nowhere"), url.update_query_dict({"no_such_option": word})):
        with pytest.raises((Temporary, InvalidInput, Permanent)) as caught:
            opener(bad.set(drivername="postgresql").render_as_string(hide_password=False))
        assert word not in shown(caught, caplog)
        assert "away" not in shown(caught, caplog)
        assert "postgresql+psycopg://shoal:***@" in str(caught.value)


def test_no_message_shows_a_stored_value(opener, caplog):
    caplog.set_level(logging.DEBUG)
    store = opener()
    store.commit(batch(0, 5, outbox=[action(1)]))
    bad = batch(5, 6, decisions=[decision(5, "carol")], outbox=[action(1)])
    with pytest.raises(Permanent, match="pk_outbox") as caught:
        store.commit(bad)
    text = shown(caught, caplog)
    assert "carol" not in text
    assert str(action(1).subject_id) not in text
    assert "challenge" not in text


def test_a_database_in_another_encoding_is_refused(opener, postgres_url):
    asked(postgres_url, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0")
    with pytest.raises(InvalidInput, match=r"in LATIN1; allowed: UTF8 .*createdb.*store\.encoding"):
        opener(postgres_url.rsplit("/", 1)[0] + "/latin")
    asked(postgres_url, "DROP DATABASE latin WITH (FORCE)")


def test_a_user_without_rights_is_told_so(opener, postgres_database):
    opener().close()
    asked(postgres_database, "DROP ROLE IF EXISTS stranger")
    asked(postgres_database, "CREATE ROLE stranger LOGIN PASSWORD 'pass'")
    url = sa.make_url(postgres_database).set(username="stranger", password="pass")
    with pytest.raises(InvalidInput, match=r"permission denied.*store\.refused"):
        opener(url.render_as_string(hide_password=False))


def test_commits_are_flushed_though_the_server_is_set_otherwise(opener, postgres_database):
    name = sa.make_url(postgres_database).database
    asked(postgres_database, f"ALTER DATABASE {name} SET synchronous_commit = off")
    store = opener()
    with store._writer.begin() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
