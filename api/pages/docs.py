"""The API's documentation page, made from the OpenAPI document; nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")


def operations_of(document: Mapping[str, Any], base_url: str) -> list[dict[str, Any]]:
    """Describe every operation for the template.

    Args:
        document: The OpenAPI document.
        base_url: Where this service is, for the examples.
    """
    schemas = document.get("components", {}).get("schemas", {})
    return [
        _operation(path, method, operation, schemas, base_url)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]


def _operation(
    path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], base_url: str
) -> dict[str, Any]:
    body = _json_of(operation.get("requestBody", {}))
    answers = operation["responses"]
    good = next((_json_of(answers[status]) for status in sorted(answers) if status.startswith("2")), {})
    examples = [(example.get("summary", ""), example["value"]) for example in body.get("examples", {}).values()]
    return {
        "id": operation.get("operationId", path),
        "tag": next(iter(operation.get("tags", ())), "other"),
        "method": method,
        "path": path,
        "summary": operation.get("description", operation.get("summary", "")),
        "secured": bool(operation.get("security")),
        "parameters": [_parameter(one) for one in operation.get("parameters", ())],
        "fields": list(_fields(body.get("schema", {}), schemas)),
        "answer_fields": list(_fields(good.get("schema", {}), schemas)),
        "answer_example": _pretty(good["example"]) if "example" in good else None,
        "examples": [
            (summary, _curl(method, base_url + path, value, bool(operation.get("security"))))
            for summary, value in examples
        ],
        "statuses": [(status, answer.get("description", "")) for status, answer in sorted(answers.items())],
    }


def _json_of(part: Mapping[str, Any]) -> dict[str, Any]:
    content = part.get("content", {})
    return dict(content.get("application/json", {}))


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    return {
        "name": parameter["name"],
        "place": parameter["in"],
        "type": _type(schema),
        "required": parameter.get("required", False),
        "text": parameter.get("description", schema.get("description", "")),
    }


def _fields(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[dict[str, Any]]:
    """List the fields of a schema, those inside lists and objects below their own."""
    schema = _resolved(schema, schemas)
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(_inner(field), schemas)
        yield {
            "name": prefix + name,
            "type": _type(field),
            "required": name in schema.get("required", ()),
            "text": field.get("description", inner.get("description", "") if inner is not field else ""),
        }
        if depth < 2 and "properties" in inner:
            yield from _fields(inner, schemas, f"{prefix}{name}{_mark(field)}.", depth + 1)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    found: Mapping[str, Any] = schemas.get(reference.rpartition("/")[2], {}) if reference else schema
    return found


def _inner(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a list, a map or an optional field holds."""
    for option in field.get("anyOf", ()):
        if option.get("type") != "null":
            return _inner(option)
    if "items" in field:
        return _inner(field["items"])
    more = field.get("additionalProperties")
    return _inner(more) if isinstance(more, Mapping) else field


def _mark(field: Mapping[str, Any]) -> str:
    return "[]" if "items" in field else "{}" if isinstance(field.get("additionalProperties"), Mapping) else ""


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "$ref" in schema:
        return "object"
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "date and time"
    most = schema.get("maxLength")
    return f"{kind} ≤ {most}" if most else kind


def _curl(method: str, url: str, value: object, secured: bool) -> str:
    key = ' \\\n  -H "Authorization: Bearer $TRIAGE_KEY"' if secured else ""
    sent = _pretty(value).replace("'", "'\\''")
    return f"curl -X {method.upper()} {url} \\\n  -H 'Content-Type: application/json'{key} \\\n  -d '{sent}'"


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
