"""Fit, calibrate and evaluate: tables in, models and judgements out.

It began with the evaluation of policies (intervals, label delay, cohorts, challenge outcomes, threshold curves).
Fitted detectors, in the order in which they are used (import from the modules named; nothing is imported here, since
LightGBM takes half a second):

- `frame.TrainingFrame`, `frame.FrameBuilder(definition, inputs).add(seq=…, as_of=…, time=…, subject=…, account=…, x=…,
  weight=None, slices={"account_age_s": …, "mobile": …, "vpn": …}).frame(Provenance(…))`: rows of a replay.
- `targets.read_targets(frame, labels, until_us, maturity_us=None) -> Targets`: labels (a table or rows of
  `LABEL_SCHEMA`) to a target per row. `fit` and `evaluate` call it themselves.
- `fitting.fit.fit(frame, labels, until_us=…, made_at="2026-11-23T00:00:00Z", settings=FitSettings()) -> Fitted`:
  `fitted.files` (name → bytes, as `Model.read` takes them), `.model`, `.metadata`, `.evaluation` (on the later part
  with other accounts), `.card`, `.notes` (fall-backs that were taken, in words).
- `evaluation.evaluate.evaluate(model, frame, labels, until_us=…) -> Evaluation`;
  `evaluation.compare.compare(first, second, frame, labels, until_us=…) -> Comparison` (same rows, paired bootstrap);
  `evaluation.monitor.monitor(model, frame, labels, until_us=…) -> DriftReport` with `.alarms`.
- `evaluation.card.Card`: `encode(card) -> bytes`, `decode(bytes) -> Card`; drawn by `shoal.reports.card`
  (`write_card(path, card)`: HTML; `card_markdown(card)`, `evaluation_markdown(evaluation)`).

Knows tables and definitions only: no journal, no store, no engine.
"""
