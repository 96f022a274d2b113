"""Runs the migrations on the connection that `Store.open` hands over. There is no offline mode."""

from alembic import context

from shoal.storage.migrations.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
