"""Compares what a user can read in Blender with the tables of its translations; fails where a text has none.

    python3 scripts/texts.py                  what is missing, left over or wrong, by language
    python3 scripts/texts.py --missing de_DE  the texts without a translation, as JSON to be filled in
    python3 scripts/texts.py --tidy           drop what no longer is in the sources, and sort

The texts are read off the syntax trees: every literal and f-string of the product that looks like something to be
read. One that looks so and is not stands in NOT_READ. No Blender is needed.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "csm_refine_addon"
TABLES = PACKAGE / "blender" / "i18n"
LANGUAGES = ("zh_HANS", "ja_JP", "de_DE", "fr_FR", "es")
ROOMS = ("blender/**/*.py", "core/**/*.py")
SERVICE = ("remesh/**/*.py", "service/refine_queue.py", "service/sessions.py")
"""Modules of the local service whose sentences the panel repeats."""
IN_SENTENCES = ("remesh/evaluate.py", "remesh/fallback.py")
"""Of these, what is no sentence, too: it stands in fields of sentences."""
NOT_SHOWN = (
    *(
        "blender/headless.py",
        "blender/scene/export.py",
        "blender/jobs/diagnostics_report.py",
        "blender/i18n/__init__.py",
        "core/processes/local_settings.py",
    ),
    *("blender/i18n/tables.py", "core/data_dir.py", "core/serialization.py", "core/processes/process_limits.py"),
)
"""They serve the command line and bug reports, which speak English, or the programmer."""
WORDS = (
    *("width", "height", "depth", "vertices", "faces", "N-gons"),
    *("prepared", "submitting", "uncertain", "running", "downloading"),
    "unusable",
    *("preparing", "ready", "placed", "failed", "stopped"),
    *("{0} s", "{0} h", "W × H × D"),
)
"""Single words that stand in fields of sentences, and what is made of single letters."""

FIELD = re.compile(r"\{\w*\}")
_READABLE = re.compile(r"[A-Za-z]{2}")
_WORD = re.compile(r"[A-Z][a-z]+…?")
_CODE = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|BEGIN|PRAGMA|CREATE|\s*CREATE|import) |[\w_]+ [<>=]+ |%\(|--[a-z]")
_DESCRIBED = ("CSM_OT_", "CSM_MT_")
"""Classes whose docstring is their tooltip."""
_SILENT = re.compile(
    r"(_?log|_?logger|LOG)\.|print|re\.|.*\.(execute|executescript|add_argument|startswith|endswith|removeprefix"
    r"|removesuffix|partition|rpartition|get|setdefault|encode|select)$|ArgumentParser|getattr|sum$|frozenset$"
    r"|IllegalTransition|LookupError|RuntimeError|TypeError|ValueError|AssertionError|KeyError"
)
"""Calls whose texts nobody reads in Blender."""
NOT_READ = frozenset({
    *("Error: ", "Base Color", "Plain", "CSM Refine Notice", "{0} MB", "{0} kB", "bytes {0}", "Range", "Accept"),
    *("CSM", "URL", "Any", "Secret(…)", "stdout is a pipe", " is flat", "Host", "Origin", "exit code {0}"),
    *("signal {0}", "refine {0}", "{0} refined", "Place Refined Mesh", "[taken out]"),
    *("job {0}", "service {0}", "state {0}", "trial key {0}"),  # of a copied error, for a report
})  # fmt: skip


def collect() -> dict[str, str]:
    """Return every text to be translated, with the place it was found first: ``core/jobs/state_machine.py:167``."""
    found = dict.fromkeys(WORDS, "WORDS")
    paths = [path for room in ROOMS for path in sorted(PACKAGE.glob(room))]
    for path in paths:
        name = path.relative_to(PACKAGE).as_posix()
        if name not in NOT_SHOWN:
            _note(found, name, (pair for pair in texts_in(path.read_text(encoding="utf-8")) if is_read(pair[1])))
    for path in sorted(path for room in SERVICE for path in (PACKAGE).glob(room)):
        texts = texts_in(path.read_text(encoding="utf-8"))
        where = path.relative_to(PACKAGE).as_posix()
        is_whole = where not in IN_SENTENCES
        _note(found, where, (pair for pair in texts if is_read(pair[1]) and (pair[1][-1] == "." or not is_whole)))
    return found


def _note(found: dict[str, str], name: str, texts: Iterator[tuple[int, str]]) -> None:
    for line, text in texts:
        found.setdefault(numbered(text.strip()), f"{name}:{line}")


def is_read(text: str) -> bool:
    """Tell whether a literal looks like something to be read: words, or one word with a capital letter."""
    bare, words = numbered(text.strip()), FIELD.sub(" ", text)
    if bare in NOT_READ or text in NOT_READ or not _READABLE.search(words) or _CODE.match(bare):
        return False
    return " " in bare or bool(_WORD.fullmatch(bare))


def numbered(text: str) -> str:
    """Return a text with fields as a table has it: names stay, nameless fields get numbers, formats go."""
    text = re.sub(r"\{(\w*)[:!][^{}]*\}", r"{\1}", text.replace("%s", "{}"))
    parts = text.split("{}")
    return parts[0] + "".join(f"{{{number}}}{part}" for number, part in enumerate(parts[1:]))


def texts_in(source: str) -> list[tuple[int, str]]:
    """Return the line and text of each literal that may be shown."""
    return list(_texts(ast.parse(source)))


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.lineno, node.value
    elif isinstance(node, ast.JoinedStr):
        yield from _of_f_string(node)
    elif not _is_silent(node):
        yield from _tooltip(node)
        for child in ast.iter_child_nodes(node):
            yield from (pair for pair in _texts(child) if not _is_enum(node) or pair[1][:1].isupper())


def _of_f_string(node: ast.JoinedStr) -> Iterator[tuple[int, str]]:
    yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            yield from _texts(part.value)


def _is_silent(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return bool(_SILENT.match(ast.unparse(node.func)))
    if isinstance(node, ast.Expr):  # a docstring
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Compare | ast.Subscript | ast.Import)


def _is_enum(node: ast.AST) -> bool:
    """Tell whether a node is an enum, whose values are words of a protocol unless they begin with a capital."""
    return isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases)


def _tooltip(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.ClassDef) and node.name.startswith(_DESCRIBED):
        described = ast.get_docstring(node)
        if described:
            yield node.lineno, described


def table(language: str) -> dict[str, str]:
    path = TABLES / f"{language}.json"
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return texts


def problems(texts: dict[str, str], translations: dict[str, str]) -> list[str]:
    """Return what is wrong with a table: texts that it misses, that nobody shows, and translations that do not fit."""
    found = [f"{where}: no translation: {text}" for text, where in texts.items() if text not in translations]
    found += [f"not in the sources any more: {text}" for text in translations if text not in texts]
    for text, translation in translations.items():
        if not translation.strip():
            found.append(f"empty: {text}")
        elif translation != translation.strip():
            found.append(f"begins or ends with a space: {translation}")
        elif sorted(FIELD.findall(text)) != sorted(FIELD.findall(translation)):
            found.append(f"other fields than “{text}”: {translation}")
    return found


def write(language: str, translations: dict[str, str]) -> None:
    text = json.dumps(dict(sorted(translations.items())), ensure_ascii=False, indent=0)
    (TABLES / f"{language}.json").write_text(text + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missing", metavar="LANGUAGE", help="print the texts without a translation as JSON")
    parser.add_argument("--tidy", action="store_true", help="drop what is not in the sources, and sort")
    options = parser.parse_args()
    texts = collect()
    if options.missing:
        known = table(options.missing)
        print(json.dumps({text: "" for text in texts if text not in known}, ensure_ascii=False, indent=0))
        return 0
    if options.tidy:
        for language in LANGUAGES:
            write(language, {text: said for text, said in table(language).items() if text in texts})
    found = [f"{language}: {problem}" for language in LANGUAGES for problem in problems(texts, table(language))]
    print("\n".join(found) or f"{len(texts)} texts, each in {len(LANGUAGES)} languages.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
