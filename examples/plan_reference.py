"""Writes docs/plans.md, the reference of everything that a plan may say, from the models that plans are checked with.

Example:
    python -m examples.plan_reference > docs/plans.md
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, get_args

from pydantic import BaseModel

from learning.algorithms import AnySettings
from learning.derived_names import profile_names, risk_names
from learning.random_trees_settings import PrivacySettings
from learning.schema import BooleanFeature, CategoricalFeature, FeatureSchema, NumericFeature, Split, TimeFeature
from protocol.features import FeatureRecipe
from protocol.ids import Name, UUIDText
from protocol.plan import Cohort, Deadlines, Plan, Protection

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The plan", Plan),
    ("features", FeatureRecipe),
    ("cohort", Cohort),
    ("protection", Protection),
    ("deadlines", Deadlines),
    *((f"learning: {settings.model_fields['kind'].default}", settings) for settings in get_args(AnySettings)),
    ("learning.privacy", PrivacySettings),
    ("learning.inputs", FeatureSchema),
    *(
        (f"learning.inputs.features: {feature.model_fields['kind'].default}", feature)
        for feature in (NumericFeature, BooleanFeature, CategoricalFeature, TimeFeature)
    ),
    ("learning.inputs.split", Split),
)
#: What a text must look like, in words.
_PATTERNS = {
    get_args(Name)[1].pattern: "at most 63 of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit",
    get_args(UUIDText)[1].pattern: "an id",
}
TITLES = {model.__name__: title for title, model in SECTIONS}
SMALLEST = {
    "name": "card-fraud",
    "learning": {
        "kind": "gbdt",
        "trees": 50,
        "inputs": {
            "features": [
                {"kind": "numeric", "name": "amount"},
                {"kind": "categorical", "name": "channel", "levels": ["shop", "web"]},
            ],
            "label": "fraud",
            "time": "time",
            "split": {"test_from": "2026-04-01T00:00:00", "label_delay_days": 7},
        },
    },
}
INTRODUCTION = f"""# Plans

For the operator who writes them, and for the banks that accept them. A plan is one JSON document that decides
everything a training does; every bank checks it against its own policy and its own rows before it accepts, and no
field can be changed afterwards. A small one:

```json
{json.dumps(SMALLEST, indent=2)}
```

    consortium plan check plan.json --banks 5     # what it means, what it costs, who must collude to learn what
    consortium plan create plan.json
    bank-node check-plan plan.json                # at a bank: would it take part, and if not, why

A field that is not listed here is refused, what has no default must be given, and `consortium plan check` says which
rules between fields are broken.

A feature is a column of every bank's own file, or one that the plan's `features` make: of a window of 7 days
`{"`, `".join(profile_names([7]))}`, and of an
entity table over `terminal` `{"`, `".join(risk_names(["terminal"], [7]))}`.
No name is reserved. Where one looks like these and nothing in the plan makes it, `plan check` and `plan create` warn:
every bank's file must have such a column then.

This page is made from the models that check plans:
`python -m examples.plan_reference > docs/plans.md`.
"""


def fields_of(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """A model's docstring without its list of attributes, and what that says of each."""
    text, _, listed = inspect.getdoc(model).partition("Attributes:")  # type: ignore[union-attr]
    said: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        begun = re.match(r" {4}(\w+): (.*)", line)
        if begun:
            name = begun[1]
            said[name] = begun[2]
        elif name and line.strip():
            said[name] += " " + line.strip()
    return text.strip(), said


def values_of(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a field may be, in words.

    Args:
        schema: the field's, of JSON Schema.
        definitions: what it refers to, by name.
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = definitions[name]
        return values_of(found, definitions) if "enum" in found else f"see [{TITLES[name]}](#{_anchor(TITLES[name])})"
    if "anyOf" in schema or "oneOf" in schema:
        several = [values_of(one, definitions) for one in schema.get("anyOf") or schema["oneOf"]]
        return " or ".join(dict.fromkeys(several))
    if "const" in schema or "enum" in schema:
        return ", ".join(map(_json, schema.get("enum") or [schema["const"]]))
    return _of_type(schema, definitions)


def _of_type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    match schema.get("type"):
        case "array":
            return f"list: {values_of(schema.get('items', {}), definitions)}{_bounds(schema, 'Items')}"
        case "object":
            of = schema.get("additionalProperties")
            named = isinstance(of, dict)
            return f"name → {values_of(of, definitions)}" if named else "one of the forms of `learning` below"
        case "string":
            text = {"date": "a day", "date-time": "a time"}.get(schema.get("format", ""), "text")
            return _PATTERNS.get(schema.get("pattern", ""), text + _bounds(schema, "Length"))
        case kind:
            word = {"integer": "whole number", "number": "number", "boolean": "true or false"}.get(str(kind), "null")
            return word + _bounds(schema, "imum")


def _bounds(schema: dict[str, Any], of: str) -> str:
    names = [("min" + of, "≥"), ("max" + of, "≤")] if of != "imum" else [("minimum", "≥"), ("maximum", "≤")]
    names += [("exclusiveMinimum", ">"), ("exclusiveMaximum", "<")] if of == "imum" else []
    unit = {"Items": " of them", "Length": " long"}.get(of, "")
    found = [f"{sign} {_number(schema[name])}{unit}" for name, sign in names if name in schema]
    return f" ({', '.join(found)})" if found else ""


def _number(value: float) -> str:
    exponent = int(value).bit_length() - 1
    if value == int(value) and exponent >= 16 and 1 << exponent == int(value):
        return f"2^{exponent}"
    return f"{value:g}" if value == float(f"{value:g}") else str(value)


def section(title: str, model: type[BaseModel]) -> str:
    """One model as a table."""
    text, said = fields_of(model)
    schema = model.model_json_schema()
    lines = [f"## `{title}`" if title != "The plan" else "## The plan", "", text, ""]
    lines += ["| field | may be | default | what |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        if name == "kind":
            said["kind"] = "names this form"
        required = name == "kind" or name in schema.get("required", ())
        default = "**required**" if required else _default(model, name)
        may_be = values_of(field, schema.get("$defs", {})).replace("|", "\\|")
        lines.append(f"| `{name}` | {may_be} | {default} | {_in_json(said[name])} |")
    return "\n".join(lines) + "\n"


def _default(model: type[BaseModel], name: str) -> str:
    default = model.model_fields[name].get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its defaults"
    return _number(default) if isinstance(default, int | float) and not isinstance(default, bool) else _json(default)


def _json(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _in_json(sentence: str) -> str:
    """A docstring's sentence as the reader of a JSON document needs it."""
    for python, as_json in (("``", "`"), ("None", "`null`"), ("True", "`true`"), ("|", "\\|")):
        sentence = sentence.replace(python, as_json)
    return sentence.removesuffix(".")


def _anchor(title: str) -> str:
    """As renderers of Markdown make it of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(section(title, model) for title, model in SECTIONS)])


if __name__ == "__main__":
    print(page(), end="")
