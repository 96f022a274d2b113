"""Storage: the journal's segments, duplicates, decision segments and the relational store.

- `journal.Journal`: the one ordered, append-only record of everything (`segments`, `frames`, `sealing`, `report`).
- `dedupe.DedupeIndex`: which `event_id` was accepted before (`ids`, `dedupe_kernel`).
- `decisions.DecisionLog`: every decision, in columns, in segments of its own.
- `store.Store`: position, ledger, outbox and decisions above `allow` in one transaction (`tables`, `migrations`).

Only `runtime` joins them: the journal does not know the store, the store does not know the journal.
"""
