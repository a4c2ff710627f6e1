"""Rules of the house that ruff and import-linter do not know. Each function names what breaks its rule."""

import ast
from collections.abc import Iterator, Mapping

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 300
FORBIDDEN_NAMES = ("utils", "util", "helpers", "helper", "common", "misc", "base")


def long_functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Give the name and the lines of each function that is too long."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.name, lines


def undocumented_protocols(tree: ast.Module) -> Iterator[str]:
    """Give each Protocol, and each of its public methods, without a docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(map(_is_protocol, node.bases)):
            if ast.get_docstring(node) is None:
                yield node.name
            for method in node.body:
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or method.name.startswith("_"):
                    continue
                if ast.get_docstring(method) is None:
                    yield f"{node.name}.{method.name}"


def client_imports(tree: ast.Module, clients: Mapping[str, object]) -> set[str]:
    """Give the clients that are imported anywhere in a file, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found & clients.keys()


def _is_protocol(parent: ast.expr) -> bool:
    """Tell typing's Protocol from asyncio's."""
    return ast.unparse(parent).split("[")[0] in ("Protocol", "typing.Protocol")
