"""Makes a program of what a person typed: plain lines become the body of `run_experiment(system, tools)`."""

from __future__ import annotations

import ast
import io
import symtable
import tokenize
from collections.abc import Callable

from maia_core.plugin import UsageError
from maia_sandbox.worker import ENTRIES

HEAD = "def run_experiment(system, tools):"
SILENT = ("print", "display", "log_experiment")
"""Calls without a value: there is no use in returning it."""


class NotPython(UsageError):
    """The text is not a program; the message names the line and the reason."""


def as_program(source: str) -> str:
    """Returns a program as a sandbox takes it.

    What defines `run_experiment` stays as it is, without a last line that calls it. Other lines become its body: the
    names that they bind persist, as in a notebook, and the value of a last expression is returned.

    Raises:
        NotPython: it does not compile, or there is nothing in it.
    """
    source = source.strip("\n") + "\n"
    tree = _parsed(source)
    if not tree.body:
        raise NotPython("there is no statement in it")
    defined = any(isinstance(node, ast.FunctionDef) and node.name in ENTRIES for node in tree.body)
    whole = _without_call(source, tree) if defined else ""
    return checked(whole) if whole else _wrapped(source, tree)


def checked(program: str) -> str:
    """Returns the program.

    Raises:
        NotPython: it does not compile.
    """
    _compiled(program)
    return program


def as_recorded(source: str) -> str:
    """Returns a notebook's cell as a program for the record; one with magics, which is not Python, is only indented."""
    try:
        return as_program(source)
    except NotPython:
        lines = [f"    {line}" if line.strip() else line for line in source.strip("\n").split("\n")]
        return "\n".join([HEAD, *lines, "    pass" if not source.strip() or lines[-1].strip().startswith("#") else ""])


def calls_something(source: str) -> bool:
    """Tells whether Python source holds a call at all: words that happen to be Python do not."""
    return any(isinstance(node, ast.Call) for node in ast.walk(_parsed(source)))


def definitions(source: str) -> str:
    """Returns those statements of a cell that later cells may need: definitions, imports and assignments."""
    kept = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign)
    return _without(source, lambda node: not isinstance(node, kept))


def without_study(source: str, is_study: Callable[[str], bool]) -> str:
    """Returns a cell without the statements that deal with the study itself, which a program does not have.

    Args:
        source: A cell.
        is_study: Tells of a name whether it stands for the study.
    """

    def deals_with_it(node: ast.stmt) -> bool:
        names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        return _imports_study(node) or (isinstance(node, ast.Expr | ast.Assign) and any(map(is_study, names)))

    return _without(source, deals_with_it)


def _without(source: str, drops: Callable[[ast.stmt], bool]) -> str:
    """Returns source without some of its top-level statements, by whole lines; unchanged if it is not Python."""
    try:
        tree = _parsed(source)
    except NotPython:
        return source
    lines = source.split("\n")
    dropped = {row for node in tree.body if drops(node) for row in _rows(node)}
    dropped -= {row for node in tree.body if not drops(node) for row in _rows(node)}
    return "\n".join(line for row, line in enumerate(lines, 1) if row not in dropped)


def _imports_study(node: ast.stmt) -> bool:
    match node:
        case ast.ImportFrom(module=str(name)) | ast.Import(names=[ast.alias(name=name)]):
            return name.partition(".")[0] == "maia_human"
    return False


def _rows(node: ast.stmt) -> range:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return range(first, (node.end_lineno or first) + 1)


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _mistake(error) from None


def _compiled(program: str, shift: int = 0) -> None:
    try:
        compile(program, "program", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise _mistake(error, shift) from None


def _mistake(error: BaseException, shift: int = 0) -> NotPython:
    if not isinstance(error, SyntaxError):
        return NotPython(str(error) or type(error).__name__)
    line = f"line {error.lineno - shift}: " if error.lineno else ""
    shown = f": {error.text.strip()[:200]}" if error.text and error.text.strip() else ""
    return NotPython(f"{line}{error.msg}{shown}")


def _without_call(source: str, tree: ast.Module) -> str:
    """Returns the source up to a last line that calls the entry; empty if its other lines need `system` or `tools`."""
    last = tree.body[-1]
    if isinstance(last, ast.Expr | ast.Assign) and last.col_offset == 0 and _calls_entry(last.value):
        source = "\n".join(source.split("\n")[: last.lineno - 1]).rstrip("\n") + "\n"
    names = symtable.symtable(source, "program", "exec")
    used = [name for name in ("system", "tools") if name in names.get_identifiers()]
    return "" if any(names.lookup(name).is_referenced() for name in used) else source


def _calls_entry(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[ast.Name(id="system"), ast.Name(id="tools")], keywords=[]):
            return name in ENTRIES
    return False


def _is_silent(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in SILENT
    return False


def _wrapped(source: str, tree: ast.Module) -> str:
    lines = source.rstrip("\n").split("\n")
    last = tree.body[-1]
    if isinstance(last, ast.Expr) and last.col_offset == 0 and not _is_silent(last.value):
        lines[last.lineno - 1] = f"return {lines[last.lineno - 1]}"
    inside = _rows_inside_strings(source)
    body = [line if row in inside or not line.strip() else f"    {line}" for row, line in enumerate(lines, 1)]
    program = "\n".join([HEAD, *body]) + "\n"
    _compiled(program, shift=1)
    bound = _bound_names(program)
    return "\n".join([HEAD, *([f"    global {', '.join(bound)}"] if bound else []), *body]) + "\n"


def _rows_inside_strings(source: str) -> set[int]:
    """Returns the rows that begin within a string: they must not be indented."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {row for token in tokens for row in range(token.start[0] + 1, token.end[0] + 1) if token.string.strip()}


def _bound_names(program: str) -> list[str]:
    """Returns the names that the program's function binds and that may be declared global."""
    function = symtable.symtable(program, "program", "exec").get_children()[0]
    return sorted(
        symbol.get_name()
        for symbol in function.get_symbols()
        if symbol.is_local() and not symbol.is_parameter() and not symbol.is_annotated()
    )
