"""The API's document as a page for people: operations by subject, with their fields, answers and an example each.

Self-contained: no scripts, nothing fetched from elsewhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

from jinja2 import Environment

from protocol.problems import PROBLEMS, URN_PREFIX

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ info.title }}: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin-top:2rem;border-bottom:1px solid #d0d7de}
h4{margin:.8rem 0 .2rem}
details{margin:.4rem 0;border:1px solid #d0d7de;border-radius:6px}
summary{padding:.5rem .8rem;cursor:pointer}
summary code{font-weight:600}
.in{padding:0 .8rem .8rem}
.m{display:inline-block;min-width:4.5rem;color:#0550ae}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #eaeef2}
pre{background:#f6f8fa;padding:.8rem;overflow:auto;margin:.2rem 0;font-size:13px}
a{color:#0550ae}
</style></head><body>
<h1>{{ info.title }}: API {{ info.version }}</h1>
<p>The same as <a href="/v1/openapi.json">/v1/openapi.json</a>, an OpenAPI 3.1 document. {{ info.description }}</p>
<p>{% for tag in tags %}<a href="#{{ tag }}">{{ tag }}</a> · {% endfor %}<a href="#problems">problem types</a> ·
<a href="#bodies">bodies and answers</a></p>
{% macro fields(rows) %}<table><tr><th>field</th><th>type</th><th>needed</th><th></th></tr>
{% for row in rows %}<tr><td><code>{{ row.name }}</code></td>
<td>{% if row.model %}<a href="#model-{{ row.model }}">{{ row.type }}</a>{% else %}{{ row.type }}{% endif %}</td>
<td>{{ "yes" if row.required else "" }}</td><td>{{ row.note }}</td></tr>{% endfor %}</table>{% endmacro %}
{% for tag, operations in tags.items() %}<h2 id="{{ tag }}">{{ tag }}</h2>
{% for one in operations %}<details id="{{ one.id }}"><summary><span class="m">{{ one.method }}</span>
<code>{{ one.path }}</code> {{ one.summary }}</summary><div class="in">
<p>Who: {{ one.who }}</p>
{% if one.parameters %}<h4>Parameters</h4>{{ fields(one.parameters) }}{% endif %}
{% if one.body %}<h4>Body: {{ one.body.title }}</h4>{{ fields(one.body.rows) }}{% endif %}
<h4>Answer {{ one.status }}: {{ one.answer.title }}</h4>{{ fields(one.answer.rows) if one.answer.rows }}
<h4>Example</h4><pre>{{ one.example }}</pre></div></details>
{% endfor %}{% endfor %}
<h2 id="problems">Problem types</h2>
<p>An answer of 400 and above is a problem document, <code>application/problem+json</code>; its <code>type</code> is
<code>{{ urn }}</code> and one of these.</p>
<table><tr><th>type</th><th>status</th><th>what</th><th>again?</th></tr>
{% for name, kind in problems.items() %}<tr><td><code>{{ name.value }}</code></td><td>{{ kind.status.value }}</td>
<td>{{ kind.title }}</td><td>{{ "yes" if kind.retryable else "" }}</td></tr>{% endfor %}</table>
<h2 id="bodies">Bodies and answers</h2>
{% for name, model in models.items() %}<details id="model-{{ name }}"><summary><code>{{ name }}</code> {{ model.note }}
</summary><div class="in">{{ fields(model.rows) if model.rows }}{% if model.choices %}<p>One of:
{% for value in model.choices %}<code>{{ value }}</code> {% endfor %}</p>{% endif %}</div></details>
{% endfor %}</body></html>
"""
_OF_WHOM = {"operator": "an operator's token", "node": "a node's signed request"}
_EXAMPLE_DEPTH = 3


def page(document_json: str) -> str:
    """The page.

    Args:
        document_json: the OpenAPI document.
    """
    described = json.loads(document_json)
    schemas = described["components"]["schemas"]
    tags: dict[str, list[dict[str, Any]]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_operation(path, method, operation, schemas))
    models = {name: _model(schema) for name, schema in sorted(schemas.items())}
    return (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(info=described["info"], tags=tags, models=models, problems=PROBLEMS, urn=f"{URN_PREFIX}…")
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    status, success = next(iter(operation["responses"].items()))
    parameters = [
        _row(one["name"], one["schema"], required=one["required"])
        | {"note": f"in the {one['in']}. {one.get('description', '')}".strip()}
        for one in operation.get("parameters", [])
    ]
    who = " or ".join(_OF_WHOM[name] for one in operation["security"] for name in one) or "anyone"
    return {
        "id": operation["operationId"], "method": method.upper(), "path": path, "summary": operation["summary"],
        "who": who, "parameters": parameters, "status": status,
        "body": _content(operation["requestBody"], schemas) if "requestBody" in operation else None,
        "answer": _content(success, schemas), "example": _example(path, method, operation, schemas),
    }  # fmt: skip


def _content(holder: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """What a body or an answer consists of."""
    for media, content in holder.get("content", {}).items():
        name = _referenced(content["schema"])
        if name is None:
            return {"title": f"bytes ({media})", "rows": []}
        return {"title": name, "rows": _model(schemas[name])["rows"]}
    return {"title": "nothing", "rows": []}


def _model(schema: dict[str, Any]) -> dict[str, Any]:
    required = schema.get("required", [])
    rows = [_row(name, field, required=name in required) for name, field in schema.get("properties", {}).items()]
    note = schema.get("description", "").split("\n\n")[0]
    return {"rows": rows, "choices": schema.get("enum", []), "note": note}


def _row(name: str, field: dict[str, Any], *, required: bool) -> dict[str, Any]:
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "pattern": "matches"}
    notes = [f"{sign} {field[limit]}" for limit, sign in limits.items() if limit in field]
    if field.get("default") is not None:
        notes.append(f"default {json.dumps(field['default'])}")
    return {"name": name, "type": _type(field), "model": _referenced(field), "required": required,
            "note": ", ".join(notes)}  # fmt: skip


def _referenced(schema: dict[str, Any]) -> str | None:
    """The model that a field is, or whose list or option it is."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    inner = [schema["items"]] if isinstance(schema.get("items"), dict) else schema.get("anyOf", [])
    return next((name for one in inner if (name := _referenced(one)) is not None), None)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema or "oneOf" in schema:
        return " or ".join(_type(one) for one in schema.get("anyOf") or schema["oneOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    return str(schema.get("type", "anything"))


def _example(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    shown = re.sub(r"\{(\w+)\}", lambda name: f"${name[1].upper()}", path)
    lines = [f'curl "$CONSORTIUM_URL{shown}"']
    if method != "get":
        lines.append(f"-X {method.upper()}")
    if operation["security"]:
        holder = "CONSORTIUM_TOKEN" if {"operator": []} in operation["security"] else "SIGNED_REQUEST"
        lines.append(f'-H "Authorization: Bearer ${holder}"')
    lines += [f'-H "{one["name"]}: $STATEMENT"' for one in operation.get("parameters", []) if one["in"] == "header"]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        name = _referenced(content["schema"])
        data = "--data-binary @FILE"
        if name is not None:
            data = f"-d '{json.dumps(_sample(schemas[name], schemas, 0), ensure_ascii=False)}'"
        lines += [f'-H "Content-Type: {media}"', data]
    return " \\\n     ".join(lines)


def _sample(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    """A value of a schema's shape: fields that are needed, with defaults and examples where there are any."""
    if "$ref" in schema:
        return _sample(schemas[str(schema["$ref"]).rpartition("/")[2]], schemas, depth + 1)
    for known in ("default", "const"):
        if schema.get(known) is not None:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _sample(schema["anyOf"][0], schemas, depth)
    if schema.get("type") == "object" and depth <= _EXAMPLE_DEPTH:
        required = schema.get("required", [])
        return {
            name: _sample(field, schemas, depth + 1)
            for name, field in schema.get("properties", {}).items()
            if name in required
        }
    return {"string": "…", "integer": 1, "number": 1.0, "boolean": False, "array": []}.get(schema.get("type", ""), {})
