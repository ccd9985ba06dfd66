"""The learning curve and the gains of classes as figures of an SVG that the server draws."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recognizer.training.words import about_class, between

WIDTH, HEIGHT = 640, 280
LEFT, TOP, BOTTOM = 48, 12, 36  # for the axes
RIGHT = 12
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """Values onto pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        return [self.low + number * (self.high - self.low) / (TICKS - 1) for number in range(TICKS)]


def curve_picture(curve: Mapping[str, Any]) -> dict[str, Any]:
    """What the template puts into the SVG, and the table that says the same."""
    measured, fitted, now = curve["measured"], curve["fitted"], curve["num_photos"]
    lowest = min(point["accuracy"]["low"] for point in measured)
    across = Axis(0, fitted[-1]["photos"], LEFT, WIDTH - RIGHT)
    up = Axis(max(0, int(lowest * 5) / 5), 1.0, HEIGHT - BOTTOM, TOP)  # from 60 %, 80 %, ...: then ticks are even
    known = [point for point in fitted if point["photos"] <= now]
    beyond = [point for point in fitted if point["photos"] >= (known[-1]["photos"] if known else 0)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "band": _band(fitted, across, up),
        "known": _line(known, across, up),
        "beyond": _line(beyond, across, up),
        "now": across.at(now),
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "points": [_point(point, across, up) for point in measured],
        "ups": [(up.at(value), f"{100 * value:.0f}") for value in up.ticks()],
        "acrosses": [(across.at(value), f"{value:.0f}") for value in across.ticks()],
        "rows": [_row(point) for point in measured],
        "ahead": [_row(point) for point in fitted if point["photos"] > now][-1:],
        "num_photos": now,
    }


def _xy(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _line(points: list[Any], across: Axis, up: Axis) -> str:
    return _xy((across.at(point["photos"]), up.at(max(point["accuracy"]["value"], up.low))) for point in points)


def _band(points: list[Any], across: Axis, up: Axis) -> str:
    """There along the upper edge, back along the lower one."""
    there = [(across.at(point["photos"]), up.at(min(1.0, point["accuracy"]["high"]))) for point in points]
    back = [(across.at(point["photos"]), up.at(max(point["accuracy"]["low"], up.low))) for point in reversed(points)]
    return _xy([*there, *back])


def _point(point: Mapping[str, Any], across: Axis, up: Axis) -> dict[str, float]:
    found = point["accuracy"]
    return {
        "x": across.at(point["photos"]),
        "y": up.at(found["value"]),
        "low": up.at(max(found["low"], up.low)),
        "high": up.at(min(1.0, found["high"])),
    }


def _row(point: Mapping[str, Any]) -> tuple[int, str, str]:
    found = point["accuracy"]
    return point["photos"], f"{found['value']:.1%}", f"{found['low']:.1%} to {min(1.0, found['high']):.1%}"


def class_bars(curve: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A bar for each class, of 100: from the low end of its gain to the high one, with a mark at the likely one."""
    longest = max((gain["own"]["high"] for gain in curve["classes"]), default=0) or 1
    return [
        {
            "name": names.get(gain["label"], gain["label"]),
            "photos": gain["photos"],
            "recall": f"{gain['recall']:.1%}",
            "start": f"{100 * max(gain['own']['low'], 0) / longest:.2f}",
            "width": f"{100 * (gain['own']['high'] - max(gain['own']['low'], 0)) / longest:.2f}",
            "mark": f"{min(98.5, 100 * gain['own']['value'] / longest):.2f}",
            "own": between(gain["own"]),
            "mean": between(gain["mean"]),
            "words": about_class(gain, names),
        }
        for gain in curve["classes"]
    ]
