"""/openapi.json, and /docs: the same for people, as a page without scripts and without requests to others."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from adtally import __version__
from adtally.serve.endpoint import Endpoint, NoBody
from adtally.serve.openapi import Json, document, kinds, parameters
from adtally.serve.problems import KINDS

STYLE: Final = Path(__file__).with_name("assets") / "docs.css"


def docs_routes(endpoints: Sequence[Endpoint[Any, Any]]) -> list[Route]:
    """Give the routes; both documents are made once, now."""
    described = document(endpoints)
    encoded = msgspec.json.encode(described)
    page = _page(endpoints, described)

    async def openapi(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page)

    async def style(_: Request) -> Response:
        return FileResponse(STYLE)

    return [Route("/openapi.json", openapi), Route("/docs", docs), Route("/docs.css", style)]


def _page(endpoints: Sequence[Endpoint[Any, Any]], described: Json) -> str:
    contents = "".join(f'<li><a href="#{_anchor(e)}"><b>{e.method}</b> {escape(e.path)}</a></li>' for e in endpoints)
    problems = "".join(
        f'<dt id="problem-{kind.name}"><code>{kind.name}</code> {kind.status} {escape(kind.title)}</dt>'
        f"<dd>{escape(kind.advice)}</dd>"
        for kind in KINDS
    )
    introduction = "".join(f"<p>{escape(part)}</p>" for part in described["info"]["description"].split("\n\n"))
    sections = "".join(_section(endpoint, described) for endpoint in endpoints)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>adtally API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/docs.css">
</head>
<body>
<header><h1>adtally API <small>{escape(__version__)}</small></h1>
{introduction}
<p>Send <code>Authorization: Bearer KEY</code> with every request. The same for machines:
<a href="/openapi.json">/openapi.json</a>.</p></header>
<nav aria-label="Addresses"><ul>{contents}<li><a href="#problems">Problems</a></li></ul></nav>
<main>
{sections}
<section id="problems"><h2>Problems</h2><dl>{problems}</dl></section>
</main>
</body>
</html>
"""


def _anchor(endpoint: Endpoint[Any, Any]) -> str:
    words = endpoint.path.replace("{", "").replace("}", "").strip("/").replace("/", "-")
    return f"{endpoint.method.lower()}-{words}"


def _section(endpoint: Endpoint[Any, Any], described: Json) -> str:
    permission = "<p>Needs an admin's key.</p>" if endpoint.who == "admin" else ""
    description = f"<p>{escape(endpoint.description)}</p>" if endpoint.description else ""
    refusals = ", ".join(f'<a href="#problem-{kind.name}">{kind.status}</a>' for kind in kinds(endpoint))
    sent = endpoint.line if endpoint.line is not None else endpoint.body
    body = "" if endpoint.body is NoBody else f"<h3>Body</h3>{_members(sent.__name__, described)}"
    answer = "<p>No content.</p>"
    if endpoint.answer is not NoBody:
        answer = _members(endpoint.answer.__name__, described)
    return f"""<section id="{_anchor(endpoint)}">
<h2><b>{endpoint.method}</b> {escape(endpoint.path)}</h2>
<p>{escape(endpoint.summary)}.</p>{description}{permission}
{_parameter_table(parameters(endpoint))}{body}
<h3>Answer {endpoint.status}</h3>{answer}
<p>Problems: {refusals}</p>
</section>
"""


def _parameter_table(found: list[Json]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"<tr><th scope=row><code>{escape(p['name'])}</code></th><td>{escape(_type(p['schema']))}</td>"
        f"<td>{_need(p)}</td><td>{escape(p.get('description', ''))}</td></tr>"
        for p in found
    )
    return f"<h3>Parameters</h3><table><tbody>{rows}</tbody></table>"


def _need(parameter: Json) -> str:
    if parameter["required"]:
        return "needed"
    default = parameter["schema"].get("default")
    return "" if default is None else f"else <code>{escape(str(default))}</code>"


def _members(name: str, described: Json) -> str:
    schema = described["components"]["schemas"][name]
    rows = "".join(
        f"<tr><th scope=row><code>{escape(member)}</code></th><td>{escape(_type(of))}</td>"
        f"<td>{escape(of.get('description', ''))}</td></tr>"
        for member, of in schema["properties"].items()
    )
    text = escape(schema.get("description", ""))
    return f"<p>{text}</p><table><tbody>{rows}</tbody></table>"


def _type(schema: Json) -> str:
    """Give a schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_type(member) for member in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"object of {_type(schema.get('additionalProperties', {}))}"
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return str(schema.get("format", schema.get("type", "value")))
