"""What a plan says, for people: from the plan as the service sends it, for `plan show` and for the model's card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Kind of learning → what it is. A test holds it to the kinds that there are.
KINDS = {
    "gbdt": "gradient-boosted trees",
    "random_gbdt": "boosted trees of random structure",
    "logistic": "logistic regression",
    "fedavg": "logistic regression by averaging",
    "entity_tables": "counts of transactions and frauds by entity",
    "drift": "drift between training and test rows",
}
#: Said in rows of their own.
_ELSEWHERE = {
    "kind", "privacy", "noise_sigma", "noise_banks", "entities", "time", "label", "first_day", "last_day",
    "windows_days", "label_delay_days",
}  # fmt: skip
#: Parts of a split that do not train.
_JUDGING = ("validation", "test")


def facts(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how) of what is learned and from what, but for the features.

    Args:
        plan: as the service sends it.
        settings: of its algorithm, defaults included.
    """
    kind = plan["learning"]["kind"]
    of_kind = _of_tables(settings) if kind == "entity_tables" else _of_inputs(plan["learning"]["inputs"])
    return [
        ("kind", f"{kind}: {KINDS.get(kind, 'unknown to this version')}"),
        *_settings(plan["learning"], settings),
        *of_kind,
        *_of_recipe(plan["features"]),
    ]


def safeguards(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how) of how it is protected, among which banks; arguments as of `facts`."""
    return [
        ("protection", _protection(plan["protection"])),
        ("privacy noise", privacy_noise(settings)),
        ("banks asked", _cohort(plan["cohort"])),
        ("ciphertexts kept", _counted(plan["retention_days"], "day")),
    ]


def features(plan: Mapping[str, Any]) -> list[list[str]]:
    """[name, kind, what may be in it] of every feature, in the model's order; none of an entity table."""
    listed = plan["learning"].get("inputs", {}).get("features", [])
    return [[one["name"], one["kind"], _values(one)] for one in listed]


def _settings(given: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = {name: value for name, value in settings.items() if name not in _ELSEWHERE}
    parts = (
        ("settings", {name: value for name, value in told.items() if name in given}),
        ("settings by default", {name: value for name, value in told.items() if name not in given}),
    )
    return [
        (title, ", ".join(f"{name} {_text(value)}" for name, value in part.items())) for title, part in parts if part
    ]


def _of_tables(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("entities", ", ".join(settings["entities"])),
        ("days", f"{settings['first_day']} to {settings['last_day']}, by column {settings['time']}"),
        ("windows", _days(settings["windows_days"])),
        ("label", f"{settings['label']}, known after {_counted(settings['label_delay_days'], 'day')}"),
    ]


def _of_inputs(inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    weight = inputs.get("weight")
    return [
        ("label", inputs["label"]),
        *([("row weights", weight)] if weight else []),
        ("split", _split(inputs.get("split", {}), inputs.get("time"))),
    ]


def _split(split: Mapping[str, Any], time: str | None) -> str:
    shares = [f"{part} {100 * split[f'{part}_share']:g} %" for part in _JUDGING if split.get(f"{part}_share")]
    starts = [f"{part} from {split[f'{part}_from']}" for part in _JUDGING if split.get(f"{part}_from")]
    if starts:
        delay = split.get("label_delay_days", 0)
        return f"{', '.join(starts)}, by column {time}; labels known after {_counted(delay, 'day')}"
    return f"{', '.join(shares)}, by row from a public seed" if shares else "none: all rows train"


def _of_recipe(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    windows, tables = recipe["profile_windows_days"], recipe["entity_tables"]
    profiles = f"{_days(windows)}, by columns {recipe['customer']}, {recipe['time']} and {recipe['amount']}"
    return [
        ("dataset", recipe["dataset"]),
        ("customer profiles", profiles if windows else "none"),
        ("entity tables", f"of training {', '.join(tables)}" if tables else "none"),
    ]


def _protection(protection: Mapping[str, Any]) -> str:
    if protection["level"] != "ckks":
        return "none: contributions are in the clear for the service"
    size, threshold = protection["committee_size"], protection["threshold"]
    return "; ".join(
        [
            "threshold CKKS",
            f"committee of {size or 'all banks, up to nine'}",
            f"{threshold or 'two thirds and one'} of them open a sum",
            f"{protection['colluders']} assumed to work with the service",
            "with agreement" if protection["agreement"] else "without agreement",
            f"smudging 2^-{protection['smudging_bits']} a chunk",
        ]
    )


def privacy_noise(settings: Mapping[str, Any]) -> str:
    """How much noise the banks add for the sake of their records."""
    if settings.get("noise_sigma"):
        return (
            f"standard deviation {settings['noise_sigma']:g} in every count, of {settings['noise_banks']} honest banks"
        )
    asked = settings.get("privacy")
    if not asked:
        return "none: the sums that are opened are exact"
    epsilon, multiplier = asked["epsilon"], asked["noise_multiplier"]
    how = f"epsilon {epsilon:g}" if epsilon is not None else f"noise multiplier {multiplier:g}"
    return f"{how} at delta {asked['delta']:g} for every record, of {asked['noise_banks']} honest banks"


def _cohort(cohort: Mapping[str, Any]) -> str:
    nodes = cohort["nodes"]
    asked = "all that are enrolled" if nodes is None else ", ".join(nodes)
    return f"{asked}; at least {cohort['min_banks']} in every sum"


def _values(feature: Mapping[str, Any]) -> str:
    match feature["kind"]:
        case "categorical":
            unknown = "; others are missing" if feature.get("unknown") == "missing" else ""
            return ", ".join(feature["levels"]) + unknown
        case "time":
            return f"{feature['part']} of column {feature['column']}"
        case "numeric":
            low, high = feature.get("low"), feature.get("high")
            return "" if low is None and high is None else f"{_bound(low)} to {_bound(high)}"
        case _:
            return ""


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case dict():
            return f"({_listed(value)})" if value else "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _days(windows: list[int]) -> str:
    return f"{', '.join(map(str, windows))} days"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" + ("" if number == 1 else "s")
