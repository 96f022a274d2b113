"""The store's schema, step by step (Alembic). Run by `Store.open`; a step that was released is never changed."""
