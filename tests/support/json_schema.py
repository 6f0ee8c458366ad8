"""As much of JSON Schema (2020-12) as the schemas of this project use."""

import re

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
    "additionalProperties", "items", "enum", "const", "minimum", "maximum", "minItems", "maxItems",
    "pattern", "uniqueItems",
}  # fmt: skip


def violations(value, schema, *, root=None, place="$"):
    """Everything in which a value departs from a schema, as lines of text."""
    root = schema if root is None else root
    assert set(schema) <= KNOWN, f"unknown words of JSON Schema at {place}: {set(schema) - KNOWN}"
    if "$ref" in schema:
        _, _, name = schema["$ref"].rpartition("/")
        return violations(value, root["$defs"][name], root=root, place=place)
    found = []
    if "type" in schema and not _has_type(value, schema["type"]):
        return [f"{place}: {value!r} is not of type {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is none of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r} is not {schema['const']!r}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{place}: {value!r} is not of the pattern {schema['pattern']}")
    if isinstance(value, (int, float)) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        found.append(f"{place}: {value} is out of range")
    if isinstance(value, list):
        found += _of_items(value, schema, root, place)
    if isinstance(value, dict):
        found += _of_properties(value, schema, root, place)
    return found


def _has_type(value, names):
    names = [names] if isinstance(names, str) else names
    is_bool = isinstance(value, bool)
    return any(isinstance(value, TYPES[name]) and is_bool == (name == "boolean") for name in names)


def _of_items(value, schema, root, place):
    found = []
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        found.append(f"{place}: {len(value)} items")
    if schema.get("uniqueItems") and len(set(map(str, value))) < len(value):
        found.append(f"{place}: items occur twice")
    for index, item in enumerate(value):
        found += violations(item, schema.get("items", {}), root=root, place=f"{place}[{index}]")
    return found


def _of_properties(value, schema, root, place):
    known = schema.get("properties", {})
    found = [f"{place}: {key} is missing" for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        rule = known.get(key, schema.get("additionalProperties", {}))
        if rule is False:
            found.append(f"{place}: {key} is not known")
            continue
        found += violations(item, rule, root=root, place=f"{place}.{key}")
    return found
