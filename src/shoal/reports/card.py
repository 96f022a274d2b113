"""The card of a fitted detector as a page and as Markdown, from its plain form (`learn.evaluation.card.Card`).

Both show the same: what it is for, on what it was fitted and judged, what it catches and whom it touches with
intervals, slices, calibration, importance, and its limits. Only the page has pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from shoal.learn.evaluation.card import Card
from shoal.learn.evaluation.figures import Estimate, Evaluation
from shoal.learn.evaluation.rates import Rate
from shoal.reports import plots
from shoal.reports.page import count, moment, percent, short, write_page
from shoal.reports.plots import Line, Point

MOST_INPUTS = 20
ROLE_WORDS = {
    "fit": "to fit",
    "stop": "to choose settings and stop",
    "calibrate": "to calibrate and set levels",
    "test": "to judge: all figures here",
}


def write_card(path: Path, card: Card) -> Path:
    """Draw and write the page, one file that fetches nothing; returns its path."""
    evaluation = card.evaluation
    context = {
        "card": card,
        "figures": evaluation,
        "levels": {one.name: one for one in evaluation.levels},
        "ours": evaluation.model_ranked,
        "roles": ROLE_WORDS,
        "most": MOST_INPUTS,
        "estimate": estimate,
        "rate": rate,
        "per": per_week,
        "pictures": _pictures(card),
    }
    return write_page(path, "card", context)


def card_markdown(card: Card) -> str:
    """The card as Markdown with tables, for a pull request or a wiki."""
    metadata, figures = card.metadata, card.evaluation
    lines = [f"# Model card: {_plain(metadata.name)}", "", _plain(card.description), ""]
    lines += _table(("", ""), _facts(card))
    lines += ["## Limits", "", *(f"- {_plain(one)}" for one in card.limits), ""]
    if card.notes:
        lines += ["## Fall-backs and notes", "", *(f"- {_plain(one)}" for one in card.notes), ""]
    lines += ["## Protocol", ""]
    lines += _table(
        ("part", "from", "to", "rows", "abusive rows", "subjects", "abusive"),
        [
            (
                ROLE_WORDS.get(one.role, one.role),
                moment(one.first_us),
                moment(one.last_us),
                count(one.rows),
                count(one.positive_rows),
                count(one.subjects),
                count(one.positive_subjects),
            )
            for one in card.parts
        ],
    )
    lines += [*(f"- {_plain(one)}" for one in figures.labels), ""]
    lines += [*_catches(figures), *_slices(figures)]
    lines += ["## Calibration", "", _calibration_words(card), "", *_bins(figures)]
    lines += ["## Importance", ""]
    lines += _table(
        ("input", "what", "share of gain", "mean effect on the raw sum"),
        [(one.name, one.description, percent(one.gain), short(one.shap)) for one in card.importance[:MOST_INPUTS]],
    )
    return "\n".join(lines).rstrip() + "\n"


def evaluation_markdown(figures: Evaluation) -> str:
    """A judgement alone, without the card of the model that was judged."""
    about = f"{figures.rows:,} rows of {figures.subjects:,} subjects, {figures.positive_subjects:,} of them abusive"
    lines = [f"# {_plain(figures.detector)}, model {figures.model}", ""]
    lines += [
        f"{about}; {moment(figures.first_us)} to {moment(figures.last_us)}, labels known by "
        f"{moment(figures.until_us)}.",
        "",
    ]
    lines += [*(f"- {_plain(one)}" for one in (*figures.notes, *figures.labels)), ""]
    lines += [
        *_catches(figures),
        *_slices(figures),
        "## Calibration",
        "",
        _observed_words(figures),
        "",
        *_bins(figures),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _catches(figures: Evaluation) -> list[str]:
    lines = ["## What it catches", ""]
    lines += _table(
        ("level", "budget", "abusive subjects caught", "honest per 10,000 and week", "precision", "subjects a day"),
        [
            (one.name, short(one.budget or 0), rate(one.recall), per_week(one.honest), percent(one.precision),
             short(one.subjects_a_day))
            for one in figures.levels
        ],
    )  # fmt: skip
    budgets = figures.model_ranked.budgets
    lines += _table(
        ("score", "AUROC by subject", "average precision by subject", *(f"caught at {one:g}" for one in budgets)),
        [
            (one.name, estimate(one.subject_auroc), estimate(one.subject_average_precision),
             *(estimate(recall, share=True) for recall in one.recalls))
            for one in figures.ranked
        ],
    )  # fmt: skip
    return lines


def _slices(figures: Evaluation) -> list[str]:
    if not figures.slices:
        return []
    lines = ["## Slices", "", f"At level {figures.slice_level}.", ""]
    return lines + _table(
        ("slice", "rows", "subjects", "abusive", "AUROC", "caught", "honest per 10,000 and week"),
        [
            (one.name, count(one.rows), count(one.subjects), count(one.positive_subjects), _number(one.auroc),
             rate(one.recall), per_week(one.honest))
            for one in figures.slices
        ],
    )  # fmt: skip


def _bins(figures: Evaluation) -> list[str]:
    return _table(
        ("scores", "expected", "observed"),
        [
            (f"{one.low:.2%} to {one.high:.2%}", f"{one.expected:.2%}", rate(one.observed, 2))
            for one in figures.calibration.bins
        ],
    )


def estimate(one: Estimate, share: bool = False) -> str:
    """A figure with its interval.

    >>> estimate(Estimate(0.9, 0.85, 0.95)), estimate(Estimate(None))
    ('0.900 (0.850 to 0.950)', '–')
    """
    if one.value is None:
        return "–"
    form = "{:.0%}" if share else "{:.3f}"
    if one.low is None or one.high is None:
        return form.format(one.value)
    return f"{form} ({form} to {form})".format(one.value, one.low, one.high)


def rate(one: Rate, places: int = 0) -> str:
    """A share with its interval and counts.

    >>> rate(Rate(0.9, 0.596, 0.981, 10.0, 9, 10))
    '90% (60% to 98%; 9 of 10)'
    """
    if one.value is None:
        return "–"
    low, high = percent(one.low, places), percent(one.high, places)
    return f"{percent(one.value, places)} ({low} to {high}; {count(one.hits)} of {count(one.cases)})"


def per_week(one: Rate) -> str:
    """Honest subjects per 10,000 and week, with the interval.

    >>> per_week(Rate(12.34, 3.0, 29.0, 100.0, 2, 200))
    '12.3 (3 to 29)'
    """
    return "–" if one.value is None else f"{short(one.value)} ({short(one.low)} to {short(one.high)})"


def _facts(card: Card) -> list[tuple[str, str]]:
    metadata, figures = card.metadata, card.evaluation
    origin = metadata.origin
    return [
        ("threat", metadata.threat),
        ("scores", metadata.on),
        ("labels", ", ".join(metadata.labels)),
        ("model", card.model),
        ("made", metadata.made_at),
        ("pack", f"{origin.pack} {origin.pack_version} ({origin.pack_hash})"),
        ("journal", f"{origin.first_seq:,} to {origin.last_seq:,}; labels known by {moment(origin.until_us)}"),
        ("fitted on", f"{origin.rows:,} rows of {origin.subjects:,} subjects, {origin.positive_subjects:,} abusive"),
        ("judged on", f"{figures.rows:,} rows of {figures.subjects:,} subjects, {figures.positive_subjects:,} abusive"),
    ]


def _pictures(card: Card) -> dict[str, object]:
    figures = card.evaluation
    points = [
        Point(one.expected, one.observed.value or 0.0, one.observed.low, one.observed.high)
        for one in figures.calibration.bins
    ]
    edges, honest, abusive = figures.histogram
    lines = [Line(name, x[1:], y[1:]) for name, (x, y) in figures.gain.items()]
    top = [(one.name, one.shap) for one in card.importance[:MOST_INPUTS] if one.shap > 0]
    return {
        "reliability": plots.reliability(
            points, title="Does a score of 10% mean 10%?", says=_calibration_words(card)
        ),
        "gain": plots.gains(
            lines,
            title="Cumulative gain",
            xlabel="share of all subjects looked at, worst first",
            ylabel="share caught",
            says="Abusive subjects caught when subjects are looked at in the order of their worst score.",
        ),
        "histogram": plots.histograms(
            edges,
            {"honest rows": honest, "abusive rows": abusive},
            title="Scores of honest and of abusive rows",
            xlabel="raw sum of the trees",
            ylabel="share of rows",
            marks={one.name: one.threshold for one in card.metadata.levels},
            says="Each outline sums to 1: honest rows are far more than they look. Upright lines are the levels.",
        ),
        "importance": plots.amounts(
            top,
            title="What moves the score",
            xlabel="mean effect on the raw sum (|SHAP|)",
            says="The mean size of each input's exact SHAP value, over rows spread evenly over all scores.",
        ),
    }  # fmt: skip


def _calibration_words(card: Card) -> str:
    made = card.metadata.calibration
    return f"{_observed_words(card.evaluation)} Calibrated by {made.method} on {made.rows:,} rows."


def _observed_words(figures: Evaluation) -> str:
    found = figures.calibration
    return (
        f"Expected {found.expected:.3%} abusive rows, observed {found.observed.value or 0:.3%} "
        f"({found.observed.low:.3%} to {found.observed.high:.3%}); mean distance of the bins from the line "
        f"{found.error:.4f}; Brier score {found.brier:.5f}, {found.brier_constant:.5f} for always saying the share."
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is: names and texts may come from a pack."""
    flat = " ".join(text.split())
    for letter in "\\`*_[]<>|#":
        flat = flat.replace(letter, "\\" + letter)
    return flat


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    listed = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(_plain(cell) for cell in head) + " |", "|" + "---|" * len(head), *listed, ""]
