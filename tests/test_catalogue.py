"""The catalogues of texts: the same keys and fields in both languages, none unused, none missing, none untranslated."""

import ast
import re
import string
from pathlib import Path

import pytest

import compuerta
from compuerta import checks, gates
from compuerta.cli import COMMANDS, Texts, build
from compuerta.texts import LANGUAGES, catalogue, grouped, language, say

SOURCE = Path(compuerta.__file__).parent
TEXTS = {lang: catalogue(lang) for lang in LANGUAGES}
KEY = re.compile(r"[a-z_]+(\.[A-Za-z_]+)+")
#: Whole families whose last part is a value, with what it may be; the source that builds the key is named.
FAMILIES = {
    "error.": ["batch_size", "embedding_size", "hidden_size", "input_size", "num_layers", "output_size",
               "projection_size", "vocabulary_size"],  # checks.size: the name of the argument
    "reading.": [f"{gate}.{side}" for gate in "fiorz" for side in ("closed", "open")],  # see/readings.py: Verdict
}  # fmt: skip


def fields(text):
    return sorted({name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name})


def test_both_languages_have_the_same_keys():
    assert TEXTS["en"].keys() == TEXTS["es"].keys()
    assert len(TEXTS["en"]) > 200
    for lang in LANGUAGES:
        keys = list(TEXTS[lang])
        assert keys == sorted(keys)
        raw = (SOURCE / "texts" / f"{lang}.json").read_text(encoding="utf-8")
        assert len(re.findall(r'^ "', raw, re.M)) == len(keys)  # no key twice, of which the first would be lost


@pytest.mark.parametrize("key", TEXTS["en"])
def test_a_text_has_the_same_fields_in_both_languages_and_is_not_empty(key):
    first, second = (TEXTS[lang][key] for lang in LANGUAGES)
    assert fields(first) == fields(second)
    for text in (first, second):
        assert text.strip()
        assert "  " not in text or key in ("cli.start", "cli.demo.next") or key.endswith(".examples")
        assert first.count("\n") == second.count("\n")


# ---- what the source uses -------------------------------------------------------------------------------------------


def strings():
    """All string literals of the source, and the fixed beginnings and ends of its f-strings, without docstrings."""
    whole, beginnings = set(), set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            id(n.body[0].value) for n in ast.walk(tree)
            if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef) and n.body and isinstance(n.body[0], ast.Expr)
        }  # fmt: skip
        parts = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                pattern = "".join(re.escape(v.value) if isinstance(v, ast.Constant) else r"[\w.]*" for v in node.values)
                fixed = "".join(v.value for v in node.values if isinstance(v, ast.Constant))
                if re.match(
                    r"(cli|diverged|error|explain|gate|input|plot|progress|reading|summary|task|warning)\.", fixed
                ):
                    beginnings.add(pattern)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented | parts:
                whole.add(node.value)
    return whole, beginnings


WHOLE, PATTERNS = strings()
#: Patterns that leave open one word only, after two that are fixed: ``cli.train.order.{order}``.
NARROW = [p.replace("[\\w.]*", r"\w*") for p in PATTERNS if re.fullmatch(r"\w+\\\.\w+\\\..*", p)]
#: Words of which see/explain.py makes its keys, as f"explain.{...}": its own, and the keys of the quantities.
EXPLAINING = {*gates.LSTM, *gates.GRU} | {
    piece for text in re.findall(r"[\"'][\w.{}]+[\"']", (SOURCE / "see" / "explain.py").read_text(encoding="utf-8"))
    for piece in re.findall(r"[^\W_]+", text)
} | {key for kind in gates.KINDS.values() for key in kind}  # fmt: skip
#: Families of keys that a reader finds in the source only by their beginning, and whose members are checked below.
#: (Those of the page and its lesson are said by its own script: tests/test_page.py, test_lesson.py.)
DYNAMIC = ("cli.kind.", "cli.range.", "cli.system.", "cli.metavar.", "lesson.", "page.")


def command_keys():
    """The keys that the commands' options and arguments ask for, and how they fall back (cli/base.py: furnish)."""
    needed = {"cli.help", "cli.completion", "cli.completion.title"}
    t = Texts("en")
    group = build("en")
    made = [("cli.option", group), *((f"cli.{name}", group.load(name, t)) for name in COMMANDS)]
    for prefix, command in made:
        if command is not group:
            needed |= {f"{prefix}.help", f"{prefix}.short"}
            if t.has(f"{prefix}.examples"):
                needed.add(f"{prefix}.examples")
        for param in command.params:
            own = f"{prefix}.{param.name}"
            needed.add(own if t.has(own) else f"cli.option.{param.name}")
    return needed


def test_every_key_of_the_source_is_in_the_catalogue():
    families = {key.split(".")[0] for key in TEXTS["en"]}
    used = {text for text in WHOLE if KEY.fullmatch(text) and text.split(".")[0] in families}
    used = {key for key in used if not any(other.startswith(key + ".") for other in TEXTS["en"])}  # a beginning only
    assert len(used) > 100
    assert used - TEXTS["en"].keys() == set()
    assert command_keys() - TEXTS["en"].keys() == set()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_refusal_is_a_sentence(lang):
    """Where the help is follows it: "... --file. See: compuerta look --help"."""
    source = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "cli").glob("[!_]*.py"))
    keys = re.findall(r'raise Refused\(\s*"([^"]+)"', source)
    assert len(keys) > 15
    assert [key for key in keys if not TEXTS[lang][key].endswith(".")] == []


def test_every_pattern_of_the_source_finds_a_key():
    assert PATTERNS
    for pattern in PATTERNS:
        assert any(re.fullmatch(pattern, key) for key in TEXTS["en"]), pattern


def test_every_key_of_the_catalogue_is_used():
    said = command_keys()
    quantities = (*gates.LSTM.values(), *gates.GRU.values(), *gates.MIN_LSTM.values())
    named = {key for q in quantities for key in (f"gate.{q.key}.name", f"gate.{q.note_key or q.key}.note")}
    left = set()
    for key in TEXTS["en"]:
        if key in WHOLE or key in said or key in named:
            continue
        if any(re.fullmatch(pattern, key) for pattern in NARROW):
            continue
        if key.startswith("explain.") and set(re.split(r"[._]", key)[1:]) <= EXPLAINING:
            continue
        if any(key == prefix + name for prefix, names in FAMILIES.items() for name in names):
            continue
        if key.startswith(DYNAMIC):
            continue
        left.add(key)
    assert left == set()


@pytest.mark.parametrize("argument", FAMILIES["error."])
def test_every_size_has_its_sentence(argument):
    with pytest.raises(compuerta.errors.ShapeError, match=f"Net: {argument} must be a positive integer; got 0"):
        checks.size(0, "Net", argument)


# ---- the Spanish ----------------------------------------------------------------------------------------------------

ENGLISH = re.compile(
    r"\b(the|and|of|is|are|was|with|from|which|that|this|must|should|not|got|expected|choose|give|to|in|at|by|has|"
    r"file|value|values|missing|between|each|every|held)\b"
)
SPANISH = re.compile(
    r"\b(el|la|los|las|un|una|de|del|y|que|con|para|por|es|son|no|debe|deben|se|recibió|más|año|archivo|valores)\b"
)
#: Not sentences: what stands as it is in code, files and commands.
LITERAL = re.compile(r"\{[^}]*\}|--[\w-]+|`[^`]*`|\b\w+=\S*|\bcompuerta [\w .]+|\b\w+\.\w+\b|\(\w+, .*?\)|'[^']*'")


@pytest.mark.parametrize("key", TEXTS["es"])
def test_no_english_is_left_in_the_spanish(key):
    if key.endswith(".examples") or key in ("cli.completion", "progress.bar"):
        return
    text = LITERAL.sub(" ", TEXTS["es"][key])
    assert ENGLISH.findall(text) == []
    if len(re.findall(r"[^\W\d]+", text)) >= 6:
        assert SPANISH.search(text)
        assert TEXTS["es"][key] != TEXTS["en"][key]


@pytest.mark.parametrize("key", TEXTS["en"])
def test_no_spanish_is_left_in_the_english(key):
    text = LITERAL.sub(" ", TEXTS["en"][key])
    if key.endswith(".examples"):
        return
    assert re.findall(r"\b(el|los|las|una|del|que|para|por|son|debe|deben|se|recibió|archivo)\b|[ñ¿¡]", text) == []


def test_spanish_opens_its_questions():
    for key, text in TEXTS["es"].items():
        assert text.count("?") <= text.count("¿"), key


# ---- saying ---------------------------------------------------------------------------------------------------------


def test_say():
    assert say("cli.error", "en", sentence="x") == "Error: x"
    assert "{name}" not in say("error.count", "es", name="n", low=1, got=0)
    with pytest.raises(KeyError):
        say("no.such.key", "en")
    with pytest.raises(ValueError, match="expected one of en, es; got 'fr'"):
        language("fr")


def test_numbers_are_grouped_as_the_language_does():
    assert [grouped(n, "en") for n in (0, 999, 1000, 1234567)] == ["0", "999", "1,000", "1,234,567"]
    assert [grouped(n, "es") for n in (0, 999, 9999, 10000)] == ["0", "999", "9999", "10\u202f000"]
    assert grouped(1234567, "es") == "1\u202f234\u202f567"
