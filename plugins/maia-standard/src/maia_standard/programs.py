"""Programs as they are meant: bodies without a function, typographic quotes, exemplars as pairs.

Everything here is text on the host's side: nothing parses or runs a program. Every line keeps its number.
"""

from __future__ import annotations

import re

ENTRY = r"(?:run_experiment|execute_command)"
QUOTED = re.compile(
    r"""(?P<plain>\#[^\n]*|\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |[“”„]{3}(?P<long>[^“”„]*)[“”„]{3}|[“”„](?P<double>[^“”„\n]*)[“”„]
    |[‘’‚](?P<single>(?:[^‘’‚\n]|’(?=\w))*)[‘’‚](?!\w)""",
    re.DOTALL | re.VERBOSE,
)
"""Comments and texts of Python, and texts in typographic quotes."""
SIGNS = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u200b": "", "\ufeff": "", "\u2212": "-", "\u2013": "-", "\u00d7": "*"}
    | {"\u2264": "<=", "\u2265": ">=", "\u2260": "!="}
)
"""Characters that a Python program has only inside of texts, and their meaning outside."""
PAIRS = "(lambda found: list(zip(*found)) if isinstance(found, tuple) and len(found[0]) != 2 else found)"
"""Makes pairs of the exemplars. Two lists of two items stay: a loop can unpack each of them."""
CALL = r"\w+\.dataset_exemplars\([^()\n]*\)"
PAIR = r"(?:\w+, *\(\w+, *\w+\) +in +enumerate\( *|\(?\w+, *\w+\)? +in +)"
PACKAGES = "(?:torch|torchvision|matplotlib|cv2|scipy|pandas|sklearn|seaborn|tqdm|requests|IPython)"
"""Packages that agents import out of habit, and that the sandboxes lack."""
FOREIGN = rf"^[ \t]*((?:import|from) +{PACKAGES}\b[\w., ]*)$"
CLASSES = r"^[ \t]*(from [\w.]+ import (?:System, *Tools|Tools, *System|System|Tools))[ \t]*$"
MADE = r"^[ \t]*(system *= *System\(\)|tools *= *Tools\([^()\n]*\))[ \t]*$"
METHOD = rf"^class +(\w+)\b[^\n]*:(?:\n(?:[ \t][^\n]*)?)*?\n[ \t]+def +({ENTRY})\(self\b([^)\n]*)"
DEFINED = rf"""(?:^[ \t]*(?:async[ ]+)?def[ ]+{ENTRY}\b(?!\(\s*(?:self|cls)\b)
    |^[ \t]*(?:\w+[ ]*,[ ]*)*{ENTRY}[ ]*(?:[:,][^\n=()]*)?=(?!=)|\b{ENTRY}[ ]*:=
    |^[ \t]*(?:from|import)\b[^\n]*\b{ENTRY}[ ]*(?:,|$|\)))"""
"""Where a program gives the name of the entry a value; a method is none."""
PARAMETERS = rf"^def[ ]+({ENTRY})\(([^()*/\n]*)\)"
"""The entry's name and parameters."""
FUNCTION = r"^def +(\w+)\( *system\b[^,\n]*, *tools\b[^,\n]*\)"


def as_meant(program: str) -> str:
    """Returns a program with the habits of agents in the form that a sandbox runs.

    * Typographic quotes, spaces and signs outside of texts become those of Python.
    * A program without a function `run_experiment` is the body of one. A function of another name with the parameters
      `system` and `tools`, or a method `run_experiment` of a class, is taken for it.
    * A program that calls `run_experiment` itself runs it once.
    * A loop over pairs of an activation and an exemplar gets pairs.
    * `tools = Tools()` keeps the run's tools.
    * An import of `System` and `Tools`, or of a package such as torch or matplotlib, is left out where the program does
      not use it, or uses it in annotations only.
    * A function `run_experiment` that takes `system` or `tools` alone, neither, or both in the other order gets them.
    * The prompts `>>>` and `...` of Python's console are left out.
    """
    if program.startswith(">>> "):
        program = re.sub(r"^(?:>>>|\.\.\.)(?: |$)", "", program, flags=re.MULTILINE)
    return _with_entry(_with_pairs(_without_foreign_imports(_with_python_signs(program))))


def _with_python_signs(program: str) -> str:
    parts, end = [], 0
    for match in QUOTED.finditer(program):
        kind = match.lastgroup or ""
        quote = {"plain": "", "long": '"""'}.get(kind, '"')
        text = re.sub(r'(?<!\\)"', r"\"", match[kind]) if quote == '"' else match[kind] if quote else match[0]
        parts += [program[end : match.start()].translate(SIGNS), quote, text, quote]
        end = match.end()
    return "".join([*parts, program[end:].translate(SIGNS)])


def _code(program: str) -> str:
    """Returns a program of the same length whose texts and comments are blank."""
    return QUOTED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), program)


def _replaced(program: str, edits: list[tuple[int, int, str]]) -> str:
    for start, end, text in sorted(edits, reverse=True):
        program = program[:start] + text + program[end:]
    return program


def _without_foreign_imports(program: str) -> str:
    code = _code(program)
    rest = re.sub(rf"\btorch\.Tensor\b|{FOREIGN}", "", code, flags=re.MULTILINE)
    used = {*re.findall(r"\w+", rest)} - {"import", "from", "as"}
    lines = [line for line in re.finditer(FOREIGN, code, re.MULTILINE) if used.isdisjoint(re.findall(r"\w+", line[0]))]
    edits = [(*line.span(1), "pass") for line in [*lines, *re.finditer(CLASSES, code, re.MULTILINE)]]
    if "torch" not in used:
        edits += [(*match.span(), "Any") for match in re.finditer(r"\btorch\.Tensor\b", code)]
    return _replaced(program, edits)


def _with_pairs(program: str) -> str:
    code = _code(program)
    names = set(re.findall(rf"^[ \t]*(\w+) *= *{CALL}[ \t]*$", code, re.MULTILINE))
    found = "|".join([CALL, *(rf"\b{name}\b" for name in sorted(names))])
    end = r"(?=(?:\[[^\[\]\n]*\])? *(?:[\]}):,]|if\b|$))"
    forms = (
        rf"\bfor +{PAIR}({found}){end}",
        rf"\bfor +(?:\w+, *)?(?P<item>\w+) +in +(?:enumerate\( *)?({found}){end}(?=[^\n]*:\s+\w+, *\w+ *= *(?P=item)$)",
        rf"^[ \t]*\w+, *\w+ *= *(?:map\(list, *)?zip\(\*({found})\)",
    )
    places = {match.span(match.re.groups) for form in forms for match in re.finditer(form, code, re.MULTILINE)}
    return _replaced(program, [(start, end, f"{PAIRS}({program[start:end]})") for start, end in places])


def _with_entry(program: str) -> str:
    code = _code(program)
    edits = [(*main.span(1), "False") for main in re.finditer(r"^if +(__name__ *==[^\n:]*):", code, re.MULTILINE)]
    edits += [(*made.span(1), "pass") for made in re.finditer(MADE, code, re.MULTILINE)]
    calls = [match.span() for match in re.finditer(rf"^(?:\w[\w, ]*= *|print\()?{ENTRY}\([^\n]*$", code, re.MULTILINE)]
    returns = [match.span() for match in re.finditer(r"^return\b[ \t]*", code, re.MULTILINE)]
    added = ""
    if not re.search(DEFINED, code, re.MULTILINE | re.VERBOSE):
        added = _entry(code)
        if len(returns) == 1:
            value = program[returns[0][1] :].split("\n")[0].partition("#")[0].strip()
            edits.append((*returns[0], "_returned = " if value else "_returned = None "))
            added = "def run_experiment(system, tools): return _returned"
    elif len(calls) == 1 and not code[calls[0][1] :].strip():
        edits.append((*calls[0], "pass"))
    elif calls:
        added = "def run_experiment(system, tools): pass"
    if not added and (own := re.search(PARAMETERS, code, re.MULTILINE)):
        names = re.findall(r"(?:^|,)\s*(\w+)", own[2])
        if names != ["system", "tools"] and {"system", "tools"}.issuperset(names):
            passed = ", ".join(f"{name}={name}" for name in names)
            added = f"_own_entry = {own[1]}\ndef run_experiment(system, tools): return _own_entry({passed})"
    return _replaced(program, edits) + (f"\n\n{added}\n" if added else "")


def _entry(code: str) -> str:
    """Returns a definition of `run_experiment` for a program without one."""
    if method := re.search(METHOD, code, re.MULTILINE):
        made = "system, tools" if re.search(r"^[ \t]+def +__init__\( *self *,", code, re.MULTILINE) else ""
        passed = "system, tools" if method[3].strip(" ,") else ""
        return f"def run_experiment(system, tools): return {method[1]}({made}).{method[2]}({passed})"
    functions = re.findall(FUNCTION, code, re.MULTILINE)
    if functions and not re.search(rf"^(?!def\b)[^\n]*\b(?:{'|'.join(functions)})\(", code, re.MULTILINE):
        return f"run_experiment = {functions[-1]}"
    return "def run_experiment(system, tools): pass"
