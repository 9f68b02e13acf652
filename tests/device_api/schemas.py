"""Documents against JSON Schemas, judged by jsonschema."""

from collections.abc import Mapping

import jsonschema  # type: ignore[import-untyped]  # it ships no types

SchemaError: type[Exception] = jsonschema.ValidationError
"""What `validate` raises."""


def validate(document: object, schema: Mapping[str, object]) -> None:
    """Raises SchemaError; formats (date-time) count too."""
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
