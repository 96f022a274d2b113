"""Pointer movements of a session, cut into strokes, each stroke told by statistics of timing and movement.

A stroke ends with a button's release or with half a second of rest. Statistics follow Antal & Egyed-Zsigmond (2019,
"Intrusion detection using mouse dynamics") and Gamboa & Fred (2004): speed, acceleration, jerk, direction, curvature,
straightness, pauses, clicks. Places themselves are never used: screens differ, and would tell the computer, not the
person. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.detectors.takeover.sessions.result import Problems
from shoal.errors import nearest_name

Floats = npt.NDArray[np.float64]
ACTIONS = ("move", "drag", "press", "release", "scroll")
REST_MS = 500
LEAST_POINTS = 4
SAMPLING = frozenset(
    {"point_rate", "step_time_median", "step_time_min", "step_time_std", "step_slow", "still", "points"}
)
"""Statistics that tell the pointing device and its connection more than the hand."""

STATISTICS: dict[str, str] = {
    "kind": "kind of movement (0 plain, 1 click, 2 drag)",
    "duration": "seconds of a movement",
    "length": "pixels of a movement",
    "distance": "pixels from its start to its end",
    "straightness": "distance over length",
    "direction": "direction (eighths of a turn)",
    "point_rate": "points a second",
    "speed_mean": "mean speed (px/s)",
    "speed_std": "spread of speed (px/s)",
    "speed_max": "highest speed (px/s)",
    "speed_median": "median speed (px/s)",
    "peak_at": "when speed peaks (share of the duration)",
    "vx_mean": "mean horizontal speed (px/s)",
    "vx_std": "spread of horizontal speed (px/s)",
    "vx_max": "highest horizontal speed (px/s)",
    "vy_mean": "mean vertical speed (px/s)",
    "vy_std": "spread of vertical speed (px/s)",
    "vy_max": "highest vertical speed (px/s)",
    "acceleration_mean": "mean acceleration (px/s²)",
    "acceleration_std": "spread of acceleration (px/s²)",
    "acceleration_max": "highest acceleration (px/s²)",
    "acceleration_min": "hardest braking (px/s²)",
    "acceleration_median": "median size of acceleration (px/s²)",
    "acceleration_first": "acceleration at the start (px/s²)",
    "jerk_median": "median size of jerk (px/s³)",
    "jerk_std": "spread of jerk (px/s³)",
    "turn_rate_mean": "mean turning rate (rad/s)",
    "turn_rate_std": "spread of turning rate (rad/s)",
    "turn_sum": "sum of turns (rad)",
    "turn_mean": "mean turn a point (rad)",
    "curvature_mean": "mean curvature (rad/px)",
    "curvature_std": "spread of curvature (rad/px)",
    "deviation": "largest deviation from the straight line (px)",
    "deviation_share": "largest deviation over distance",
    "corners": "turns above one radian",
    "step_time_median": "median time between points (s)",
    "step_time_min": "shortest time between points (s)",
    "step_time_std": "spread of time between points (s)",
    "step_slow": "share of times between points above 50 ms",
    "click_time": "seconds that a button is held",
    "click_pause": "seconds of rest before a press",
    "rest": "seconds of rest before a movement",
    "still": "share of points without movement",
    "step_one": "share of horizontal steps of one pixel",
    "step_short": "share of steps below 1.5 pixels",
    "vertical": "share of purely vertical steps",
    "horizontal": "share of purely horizontal steps",
    "points": "points of a movement",
}


@dataclass(frozen=True)
class PointerEvents:
    """One session's pointer events in recorded order, equally long columns.

    `t_ms`: milliseconds from any origin, never going back. `action`: one of `ACTIONS`. `x`, `y`: pixels; NaN where the
    place is unknown (such rows are left out). Raises `InvalidInput` with all problems. No events are allowed.
    """

    t_ms: Sequence[float] | npt.NDArray[Any]
    action: Sequence[str] | npt.NDArray[Any]
    x: Sequence[float] | npt.NDArray[Any]
    y: Sequence[float] | npt.NDArray[Any]

    def __post_init__(self) -> None:
        problems = Problems()
        columns: dict[str, npt.NDArray[Any]] = {}
        for name in ("t_ms", "x", "y"):
            try:
                columns[name] = np.asarray(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError):
                problems.add("pointer.type", "not a column of numbers", name, "numbers")
        columns["action"] = np.asarray(self.action, dtype=np.str_)
        if any(column.ndim != 1 for column in columns.values()) or len({c.size for c in columns.values()}) > 1:
            shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
            problems.add("pointer.lengths", f"columns differ: {shapes}", "", "one dimension, equally long")
        problems.throw()
        times = columns["t_ms"]
        if not np.isfinite(times).all():
            row = int(np.flatnonzero(~np.isfinite(times))[0])
            problems.add("pointer.time", f"{times[row]} is not a time", f"t_ms[{row}]", "finite milliseconds")
        back = np.flatnonzero(np.diff(times) < 0)
        if back.size:
            problems.add(
                "pointer.time_back", f"time goes back ({back.size} times)", f"t_ms[{back[0] + 1}]", hint="sort by time"
            )
        for name in np.unique(columns["action"][~np.isin(columns["action"], ACTIONS)]).tolist():
            row = int(np.flatnonzero(columns["action"] == name)[0])
            near = nearest_name(name, ACTIONS)
            hint = f"did you mean {near!r}?" if near else ""
            problems.add("pointer.action", f"{name!r} is not an action", f"action[{row}]", ", ".join(ACTIONS), hint)
        for name in ("x", "y"):
            if np.isinf(columns[name]).any():
                row = int(np.flatnonzero(np.isinf(columns[name]))[0])
                problems.add("pointer.place", "infinite", f"{name}[{row}]", "finite pixels, NaN where unknown")
        problems.throw()
        for name, column in columns.items():
            object.__setattr__(self, name, column)


def stroke_statistics(events: PointerEvents) -> Floats:
    """One row a stroke, columns as in `STATISTICS`; NaN where a stroke has no such thing (no click, first stroke).

    Strokes of fewer than four distinct times, and those that do not move, are left out; scrolling is not a stroke.
    About 0.7 ms a stroke.
    """
    action = np.asarray(events.action)
    moves = (action != "scroll") & ~np.isnan(events.x) & ~np.isnan(events.y)
    times, x, y = (np.asarray(column)[moves] for column in (events.t_ms, events.x, events.y))
    action = action[moves]
    if times.size < LEAST_POINTS:
        return np.empty((0, len(STATISTICS)))
    first = np.r_[True, (np.diff(times) > REST_MS) | (action[:-1] == "release")]
    starts = np.flatnonzero(first)
    rows: list[list[float]] = []
    ended = np.nan
    for start, end in zip(starts, np.r_[starts[1:], times.size], strict=True):
        row = _stroke(times[start:end], x[start:end], y[start:end], action[start:end], ended)
        if row is not None:
            rows.append(row)
            ended = float(times[end - 1])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(STATISTICS))


def _stroke(t: Floats, x: Floats, y: Floats, action: npt.NDArray[np.str_], ended: float) -> list[float] | None:
    """The statistics of one stroke (times in ms), or `None` if it is too short."""
    if t.size < LEAST_POINTS:
        return None
    kind, click_time, click_pause = _click(t, action)
    keep = np.r_[True, np.diff(t) > 0]
    began, (t, x, y) = float(t[0]), (t[keep], x[keep], y[keep])
    if t.size < LEAST_POINTS:
        return None
    dx, dy, dt = np.diff(x), np.diff(y), np.diff(t) / 1000.0  # differences before units: no rounding by time of day
    ds = np.hypot(dx, dy)
    length, duration = float(ds.sum()), float(t[-1] - t[0]) / 1000.0
    if length <= 0:
        return None
    across, down = x[-1] - x[0], y[-1] - y[0]
    distance = float(np.hypot(across, down))
    off = float(np.abs((x - x[0]) * down - (y - y[0]) * across).max()) / max(distance, 1.0)
    eighth = float(np.floor((np.arctan2(down, across) + np.pi) / (2 * np.pi) * 8) % 8)
    path = [float(kind), duration, length, distance, distance / length, eighth, t.size / duration]
    turns, corners = _turns(dx, dy, dt, ds)
    steps = [float(np.median(dt)), float(dt.min()), float(dt.std()), float((dt > 0.05).mean())]
    pauses = [click_time, click_pause, (began - ended) / 1000.0]
    pixels = [np.mean(ds == 0), np.mean(np.abs(dx) == 1), np.mean(ds < 1.5), np.mean(dx == 0), np.mean(dy == 0)]
    speeds = _speeds(dx, dy, dt, ds, t)
    shares = [off, off / max(distance, 1.0), corners]
    return path + speeds + turns + shares + steps + pauses + [float(share) for share in pixels] + [float(t.size)]


def _click(t: Floats, action: npt.NDArray[np.str_]) -> tuple[int, float, float]:
    """Kind of stroke, seconds held, seconds of rest before the press."""
    presses, releases = np.flatnonzero(action == "press"), np.flatnonzero(action == "release")
    kind = 2 if (action == "drag").any() else 1 if presses.size else 0
    if not presses.size:
        return kind, np.nan, np.nan
    press = int(presses[-1])
    held = float(t[releases[-1]] - t[press]) / 1000.0 if releases.size else np.nan
    return kind, held, float(t[press] - t[max(press - 1, 0)]) / 1000.0


def _speeds(dx: Floats, dy: Floats, dt: Floats, ds: Floats, t: Floats) -> list[float]:
    """Speed, its parts, acceleration and jerk."""
    speed, vx, vy = ds / dt, dx / dt, dy / dt
    between = (dt[1:] + dt[:-1]) / 2
    acceleration = np.diff(speed) / between
    jerk = np.diff(acceleration) / between[1:]
    peak = float((t[int(np.argmax(speed))] - t[0]) / (t[-1] - t[0]))
    out = [speed.mean(), speed.std(), speed.max(), np.median(speed), peak]
    for part in (vx, vy):
        out += [part.mean(), part.std(), np.abs(part).max()]
    out += [acceleration.mean(), acceleration.std(), acceleration.max(), acceleration.min()]
    out += [np.median(np.abs(acceleration)), acceleration[0], np.median(np.abs(jerk)), jerk.std()]
    return [float(value) for value in out]


def _turns(dx: Floats, dy: Floats, dt: Floats, ds: Floats) -> tuple[list[float], float]:
    """Turning rate, turns and curvature; and how many turns exceed one radian."""
    turn = np.diff(np.unwrap(np.arctan2(dy, dx)))
    rate = turn / ((dt[1:] + dt[:-1]) / 2)
    curvature = turn / np.maximum(ds[1:], 1.0)
    size = np.abs(turn)
    out = [rate.mean(), rate.std(), size.sum(), size.mean(), curvature.mean(), curvature.std()]
    return [float(value) for value in out], float((size > 1).sum())
