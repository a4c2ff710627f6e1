"""The API's description (OpenAPI 3.1), made from the table of endpoints and the types that they name."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from adtally import __version__
from adtally.serve import problems
from adtally.serve.endpoint import Endpoint, Lines, NoBody
from adtally.serve.once import IDEMPOTENCY_KEY, KEY_CHARACTERS_MAX
from adtally.serve.problems import Kind, Problem
from adtally.serve.sessions import COOKIE, PAGE_HEADER
from adtally.serve.values import SCHEMAS

Json = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{name}"
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Any text of your own, a UUID for example. A request that is repeated with it within a day is not "
    "carried out again: it gets the answer of the first.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX, "pattern": "^[!#-~]+$"},
}
_NOT_MODIFIED: Final[Json] = {"description": "The answer is still the one whose `ETag` was sent in `If-None-Match`."}
_DESCRIPTION: Final = """Exact clicks and unique users of ads.

Errors are problem details (RFC 9457): `type` is a stable address, `field` names the parameter to blame, `instance` is
the request's id, which the `X-Request-Id` header of every answer has too.

`RateLimit-Policy` says how many requests a key may make at once and in each minute (`q`), and `RateLimit` how many are
left (`r`) and after how many seconds there is one more (`t`)."""


def document(endpoints: Sequence[Endpoint[Any, Any]]) -> Json:
    """Give the document as JSON values."""
    types: list[Any] = [Problem, *(endpoint.answer for endpoint in endpoints if endpoint.answer is not NoBody)]
    types += [endpoint.body for endpoint in endpoints if endpoint.body not in (NoBody, Lines)]
    types += [endpoint.line for endpoint in endpoints if endpoint.line is not None]
    _, schemas = msgspec.json.schema_components(types, schema_hook=_schema, ref_template=_REFERENCE)
    paths: Json = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "adtally",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `adtally keys create`."},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"What POST /v1/session sets. A change needs the header `{PAGE_HEADER}: 1` too.",
                },
            },
            "responses": {kind.name: _problem_answer(kind) for kind in problems.KINDS},
        },
    }


def parameters(endpoint: Endpoint[Any, Any]) -> list[Json]:
    """Give an endpoint's parameters as OpenAPI has them."""
    fields = msgspec.structs.fields(endpoint.params)
    schemas, _ = msgspec.json.schema_components([field.type for field in fields], schema_hook=_schema)
    found = []
    for field, full in zip(fields, schemas, strict=True):
        schema = _without_null(full)
        in_path = field.encode_name in endpoint.path_params
        parameter: Json = {"name": field.encode_name, "in": "path" if in_path else "query", "required": field.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
            schema |= {"minItems": 1, "uniqueItems": True}
        if not field.required and field.default not in (None, (), ""):
            schema["default"] = field.default if isinstance(field.default, int) else str(field.default)
        found.append(parameter | {"schema": schema})
    return [*found, _IDEMPOTENCY_KEY] if endpoint.repeatable else found


def kinds(endpoint: Endpoint[Any, Any]) -> list[Kind]:
    """Give the kinds of problems that an endpoint may answer with."""
    found = [problems.INVALID, problems.UNAUTHENTICATED]
    if endpoint.who != "any key":
        found.append(problems.FORBIDDEN)
    found += endpoint.refusals
    if endpoint.body is not NoBody:
        found.append(problems.TOO_LARGE)
    if endpoint.repeatable:
        found += [problems.STILL_RUNNING, problems.KEY_REUSED]
    return [*found, problems.RATE_LIMITED, problems.INTERNAL, problems.UNAVAILABLE]


def _operation(endpoint: Endpoint[Any, Any]) -> Json:
    content: Json = {}
    if endpoint.answer is not NoBody:
        content[endpoint.media_type] = {"schema": {"$ref": _REFERENCE.format(name=endpoint.answer.__name__)}}
    formats = next((p["schema"]["enum"] for p in parameters(endpoint) if p["name"] == "format"), ())
    if "csv" in formats:
        content["text/csv"] = {"schema": {"type": "string"}}
    if "parquet" in formats:
        content["application/vnd.apache.parquet"] = {"schema": {"type": "string", "format": "binary"}}
    found: Json = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "responses": {
            str(endpoint.status): {"description": "Done."} | ({"content": content} if content else {}),
            **({"304": _NOT_MODIFIED} if endpoint.method == "GET" and endpoint.who == "any key" else {}),
            **{str(kind.status): {"$ref": f"#/components/responses/{kind.name}"} for kind in kinds(endpoint)},
        },
    }
    if endpoint.who == "anyone":
        found["security"] = []
    permission = "Needs an admin's key." if endpoint.who == "admin" else ""
    if description := " ".join(part for part in (endpoint.description, permission) if part):
        found["description"] = description
    if endpoint.body is Lines and endpoint.line is not None:
        line = _REFERENCE.format(name=endpoint.line.__name__)
        schema = {"type": "string", "description": f"One object a line, each as {line}."}
        found["requestBody"] = {"required": True, "content": {"application/x-ndjson": {"schema": schema}}}
    elif endpoint.body is not NoBody:
        schema = {"$ref": _REFERENCE.format(name=endpoint.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _problem_answer(kind: Kind) -> Json:
    schema = {"$ref": _REFERENCE.format(name=Problem.__name__)}
    return {
        "description": f"{kind.title}. {kind.advice}",
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


def _schema(kind: type) -> Json:
    return SCHEMAS[kind]


def _without_null(schema: Json) -> Json:
    """Give a parameter's schema without null, which a query string cannot say."""
    members = [member for member in schema.get("anyOf", ()) if member != {"type": "null"}]
    if len(members) == 1:
        schema = {**schema, **members[0]}
        del schema["anyOf"]
    return dict(schema)
