"""One HTML file in which a person looks into a model: text or series, every gate at every step, offline.

The page is plain JavaScript and CSS beside this file (``page/*.js``, ``page/*.css``), joined when a page is made.
Code and data, which are typed arrays, travel deflated in base64; ``page/load.js`` inflates them. Whatever came from a
person is data there, never markup, and a Content-Security-Policy lets nothing run but the page's own scripts and
nothing be fetched at all.

A page is made of a :class:`~compuerta.see.scene.Scene`: what was read, every quantity at every step, and, where the
cell is a plain one, the weights, so that the page can run the model itself.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import secrets
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import SettingError
from ..texts import LANGUAGES, catalogue, language
from .scene import Array, Scene, scene_of

#: Values of a trace that a page takes at most: all quantities, layers, steps and units together.
MOST_VALUES = 8_000_000
#: Bytes of quantities that are stored of a model that the page can run: its first steps. The others it computes again
#: from stored states. How many steps that is depends on the model alone, so that a longer text is a larger page.
_STORED = 128_000
#: Steps between two stored states; fewer than that are not worth storing whole.
_EVERY = 50
#: The modules in the order in which each uses only those before it.
MODULES = (
    "words", "elements", "state", "names", "data", "colour", "cells", "model", "parity", "readings", "ribbon", "heat",
    "cell", "ledger", "saturation", "live", "find", "flow", "compare", "train", "lesson", "export", "controls", "main",
)  # fmt: skip
#: Those of them that only the page of a lesson has; the others call them only there.
LESSON = ("train", "lesson")
_POLICY = (
    "default-src 'none'; script-src 'sha256-{loader}' 'sha256-{script}'; style-src 'sha256-{style}'; "
    "base-uri 'none'; form-action 'none'"
)
_FOLDER = Path(__file__).parent / "page"
_OUTER = (
    "html{height:100%}body{margin:0;min-height:100%;background:#fbfbfa;color:#1d2126}"
    "@media(prefers-color-scheme:dark){body{background:#16181b;color:#e9ebee}}"
)


@cache
def code(*, lesson: bool = False) -> tuple[str, str]:
    """Return the script and the style sheet of a page: the modules in order, without comments and indentation."""
    sheets = ("style", "lesson") if lesson else ("style",)
    style = "".join((_FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in sheets)
    style = re.sub(r"\s*([{};,])\s*", r"\1", re.sub(r"\s+", " ", style)).strip()
    return _wrapped("".join(_module(name) for name in MODULES if lesson or name not in LESSON)), style


@cache
def packed_code(*, lesson: bool = False) -> tuple[str, str]:
    """Return the script and the style sheet as they travel: deflated, in base64.

    >>> sum(len(part) for part in packed_code(lesson=True)) < 60 * 1024
    True
    """
    script, style = code(lesson=lesson)
    return _deflated(script.encode()), _deflated(style.encode())


def _deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _module(name: str) -> str:
    """Return the statements of one module, without comments.

    All modules share one scope, in which every name is unique: what joins them is removed, that is, the paragraph of a
    module's imports and the word before what it exports.
    """
    paragraphs = (_FOLDER / f"{name}.js").read_text(encoding="utf-8").split("\n\n")
    text = "\n".join(part for part in paragraphs if not part.startswith("import "))
    text = re.sub(r"/\*\*.*?\*/", "", text, flags=re.S)
    lines = (line.removeprefix("export ").strip() for line in text.splitlines())
    code = (line for line in lines if line and not line.startswith("//"))
    return "".join(line if line.endswith(("(", "[", "{", ",")) else f"{line}\n" for line in code)


def _wrapped(statements: str) -> str:
    """Return a script whose names stay within it; a block refuses a name that is declared twice."""
    return f'"use strict";{{\n{statements}}}'


def _loader(name: str) -> str:
    """Return the script that starts the page in the element ``name``."""
    return _wrapped(f"{_module('load')}start({json.dumps(name)});\n")


def page(
    source: Any,
    text: str | None = None,
    *,
    other: Any = None,
    path: str | os.PathLike[str] | None = None,
    lang: str | None = None,
    title: str | None = None,
    labels: tuple[str, str] = ("", ""),
) -> str:
    """Return a whole HTML document that looks into a model; with ``path`` it is written there too.

    Args:
        source: a :class:`~compuerta.layers.Trace` of a text or of anything else, a fitted
            :class:`~compuerta.LanguageModel` (with ``text``), or a fitted :class:`~compuerta.Forecaster`.
        text: what a language model is to read.
        other: another such, which reads the same: the model before it was trained, for comparison.
        path: a file to write, whole or not at all.
        lang: the language that the page opens in; both are in it.
        title: the page's heading.
        labels: what the two are called, the one and the other.

    Raises:
        SettingError: the trace is too large for a page, has layers of different kinds, or the two do not read the same.
        NotFittedError, DataError: the model cannot read.
        OSError: the file cannot be written.

    >>> import compuerta
    >>> _, trace = compuerta.LSTM(2, 3, rng=0).trace(np.ones((5, 2)))
    >>> page(trace, lang="es").startswith("<!DOCTYPE html>")
    True
    """
    lang = language(lang)
    scene = scene_of(source, text, title=title, label=labels[0])
    beside = None if other is None else scene_of(other, text, label=labels[1])
    name = f"compuerta-{_identity(scene)}"
    run = _loader(name)
    script, _ = code(lesson=scene.lesson is not None)
    policy = _POLICY.format(loader=_sha256(run), script=_sha256(script), style=_sha256(_OUTER))
    whole = (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(scene.title)}</title>\n<style>{_OUTER}</style>\n</head>\n<body>\n"
        f"{_body(name, scene, beside, lang, alone=True)}\n<script>{run}</script>\n</body>\n</html>\n"
    )
    if path is not None:
        files.write_bytes(path, whole.encode())
    return whole


def output(source: Any, text: str | None = None, *, other: Any = None, lang: str | None = None) -> str:
    """Return the same as an element for a notebook's output; one document may contain any number of them."""
    name = f"compuerta-{secrets.token_hex(6)}"
    beside = None if other is None else scene_of(other, text)
    body = _body(name, scene_of(source, text), beside, language(lang), alone=False)
    return f"{body}\n<script>{_loader(name)}</script>"


def _body(name: str, scene: Scene, other: Scene | None, lang: str, *, alone: bool) -> str:
    """Return the place of the page, with a word for where scripts do not run, and its data."""
    script, style = packed_code(lesson=scene.lesson is not None)
    content = _content(scene, other) | {"page": alone, "lang": lang, "code": script, "css": style}
    without = " · ".join(catalogue(tongue)["page.without_scripts"] for tongue in dict.fromkeys((lang, *LANGUAGES)))
    return (
        f"<p>{html.escape(without)}</p>"
        f'<div id="{name}"></div>\n<script type="application/json" id="{name}-data">{_json(content)}</script>'
    )


def _content(scene: Scene, other: Scene | None) -> dict[str, Any]:
    scenes = {"base": scene} | ({"other": other} if other is not None else {})
    if other is not None and not scene.same_reading(other):
        raise SettingError("error.page.other")
    arrays: dict[str, Array] = {}
    runs = [_run(name, each, arrays) for name, each in scenes.items()]
    for name, each in scenes.items():
        prefix = "" if name == "base" else f"{name}."
        arrays |= {prefix + key: value for key, value in each.weights.items()}
    index, blob = _packed(arrays)
    families = ("page.", "gate.", "reading.") + (("lesson.",) if scene.lesson else ())
    texts = {
        lang: {key: text for key, text in catalogue(lang).items() if key.startswith(families)} for lang in LANGUAGES
    }
    return {
        "about": scene.about(),
        "model": scene.model,
        "other": other.model if other is not None else None,
        "runs": runs,
        "index": index,
        "blob": blob,
        "texts": texts,
    }


def _run(name: str, scene: Scene, arrays: dict[str, Array]) -> dict[str, Any]:
    """Put what a run needs among the arrays and return how it is to be read."""
    values, steps = scene.values, scene.steps
    total = sum(array.size for array in values.values())
    if total > MOST_VALUES:
        raise SettingError(
            "error.page.too_large", steps=steps, units=len(scene.units), layers=len(scene.places), values=total,
            most=MOST_VALUES,
        )  # fmt: skip
    arrays |= {f"{name}.{key}": array for key, array in (scene.reading | scene.flow).items()}
    if scene.numbers is not None:
        arrays[f"{name}.numbers"] = scene.numbers
    whole, at = steps, []
    if scene.model is not None:
        most = _STORED // (sum(array.nbytes for array in values.values()) // steps)
        whole = min(steps, most if most >= _EVERY else 0)
        # Two states beside each other every so often: the run starts again from each, and one step between is checked.
        at = sorted({t for k in range(0, steps, _EVERY) for t in (k, k + 1) if whole <= t < steps})
        if at:
            arrays[f"{name}.frames"] = np.stack([scene.state_before(t) for t in at])
    arrays |= {f"{name}.{key}": array[:, :whole] for key, array in values.items()}
    if scene.initial.any():
        arrays[f"{name}.initial"] = scene.initial
    return {"name": name, "T": steps, "label": scene.label, "whole": whole, "frames": at, "parts": scene.kind.parts,
            "clamps": scene.clamps}  # fmt: skip


def _packed(arrays: dict[str, Array]) -> tuple[list[list[Any]], str]:
    """Return what stands where, and all arrays deflated: first the lowest byte of every number, then the next ..."""
    index: list[list[Any]] = []
    parts = []
    for name, array in arrays.items():
        whole = "u1" if array.dtype == np.uint8 else "i4"
        kind = whole if array.dtype.kind in "iu" else f"f{array.dtype.itemsize}"
        plain = np.ascontiguousarray(array, dtype="<" + kind).reshape(-1)
        index.append([name, kind, plain.size])
        parts.append(plain.view(np.uint8).reshape(plain.size, plain.itemsize).T.tobytes())
    return index, _deflated(b"".join(parts))


def _json(value: Any) -> str:
    """Return JSON that is safe in a script element whatever it contains: no ``<``, no line separators, no NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace").decode()


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _identity(scene: Scene) -> str:
    """Return a name that depends on what is shown alone, so that the same page is the same file."""
    digest = hashlib.sha256(scene.title.encode("utf-8", "backslashreplace"))
    for array in scene.values.values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]
