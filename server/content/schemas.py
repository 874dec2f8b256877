"""JSON Schemas in an order that is the caller's where it can be known, and always the same.

JSON objects arrive as protobuf maps, whose order is another one in every process. Models fill an object in the order
of its properties, and providers find a cached prompt by its exact text. Does not check schemas.
"""

from typing import Any

_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Members whose own members are schemas by names that the caller chooses."""


def in_order(schema: Any) -> Any:
    """Return the schema with properties as `required` lists them, which is an array and keeps the caller's order;
    other members are in alphabetical order behind them."""
    if isinstance(schema, list):
        return [in_order(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _by_name(schema[name], schema.get("required") if name == "properties" else None)
        if name in _BY_NAME and isinstance(schema[name], dict)
        else in_order(schema[name])
        for name in sorted(schema)
    }


def _by_name(schemas: dict[str, Any], required: Any) -> dict[str, Any]:
    listed = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    ranks = {name: rank for rank, name in enumerate(listed)}
    return {
        name: in_order(schemas[name])
        for name in sorted(schemas, key=lambda name: (ranks.get(name, len(ranks)), name))
    }
