"""The file of the page: its sources joined, what a person gave as data in it, its size, what it refuses."""

import html as markup
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, Dense, LanguageModel, Sequential
from compuerta.errors import SettingError
from compuerta.see import html
from compuerta.see.scene import DECADES, in_decades, scene_of
from compuerta.texts import catalogue
from in_browser import HOSTILE

FOLDER = Path(html.__file__).parent / "page"


SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}


def test_every_module_is_joined_after_those_that_it_uses():
    assert {*html.MODULES, "load"} == SOURCES.keys()
    for k, name in enumerate(html.MODULES):
        for names, other in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";', SOURCES[name], re.M):
            assert other in html.MODULES[:k], name
            for one in names.replace(",", " ").split():
                assert re.search(rf"^export (async )?(const|function) {one}\b", SOURCES[other], re.M), one


def test_nothing_of_a_module_is_lost_in_the_join_but_what_joins_it():
    script, _ = html.code(lesson=True)
    assert not re.search(r"^(import|export)\b", script, re.M)
    whole = "".join(SOURCES[name] for name in html.MODULES)
    whole = re.sub(r"/\*\*.*?\*/|^ *//[^\n]*|^import [^;]*;|^export ", "", whole, flags=re.S | re.M)
    assert re.sub(r"\s+", "", whole) in re.sub(r"\s+", "", script)


def test_no_name_stands_twice_in_the_joined_script():
    names = re.findall(r"^(?:export )?(?:async )?(?:const|let|function) (\w+)", "\n".join(SOURCES.values()), re.M)
    assert len(names) == len(set(names))


def said_in_the_page():
    """The keys that the page's script asks for, with ``*`` for what it fills in."""
    keys = set()
    for source in SOURCES.values():
        keys |= set(re.findall(r'"((?:page|gate|reading)\.[\w.]+)"', source))
        keys |= {re.sub(r"\$\{[^}]*\}", "*", key) for key in re.findall(r"`((?:page|gate|reading)\.[^`]+)`", source)}
        keys |= {f"page.{name}.{part}" for name in re.findall(r'card\("(\w+)"', source) for part in ("title", "lede")}
    return keys


def test_every_word_of_the_page_is_in_the_catalogue_and_every_word_of_the_catalogue_is_said():
    known = {key for key in catalogue("en") if key.startswith("page.")}
    patterns = [re.compile(re.escape(key).replace(r"\*", r".+") + "$") for key in said_in_the_page()]
    for pattern in patterns:
        assert any(pattern.match(key) for key in catalogue("en")), pattern.pattern
    told = {"page.without_scripts", "page.series.title", "page.series.lede", "page.ribbon.title", "page.ribbon.lede"}
    fixed = ("page.find.", "page.key.", "page.table.", "page.order.", "page.shown.", "page.story.")  # made of lists
    left = {key for key in known - told if not any(p.match(key) for p in patterns) and not key.startswith(fixed)}
    assert left == set()


def test_the_spanish_of_the_page_and_the_lesson_says_usted():
    familiar = re.compile(
        r"\b(tú|tus?|te|ti|haz|pulsa|elige|arrastra|mantén|m[ií]ra(lo)?|confía|traza (ambos|una))\b", re.I
    )
    told = {k: v for k, v in catalogue("es").items() if k.startswith(("page.", "lesson.", "cli.look.", "error.page."))}
    assert {key for key, text in told.items() if familiar.search(text)} == set()


class Parts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def parsed(page):
    parts = Parts()
    parts.feed(page)
    return parts


def test_text_from_a_person_is_data(rng):
    model = LanguageModel(hidden_size=4, embedding_size=3, batch_size=2, steps=8, updates=2).fit(HOSTILE * 4)
    page = html.page(model, HOSTILE, title=HOSTILE, labels=(HOSTILE, ""))
    parts = parsed(page)
    own = "html head meta meta meta title style body p div script script"
    assert [tag for tag, _ in parts.tags] == own.split()
    content = json.loads(parts.scripts[0])
    assert content["about"]["title"] == HOSTILE
    assert "".join(content["about"]["vocabulary"]) == model.vocabulary_.characters
    assert "<" not in parts.scripts[0]
    assert f"<title>{markup.escape(HOSTILE)}</title>" in page


def test_the_policy_lets_the_pages_own_script_run_and_nothing_else(trace):
    import base64
    import hashlib

    parts = parsed(html.page(trace))
    policy = next(a["content"] for tag, a in parts.tags if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|http|\*|data:|blob:", policy)
    digests = [
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (parts.scripts[1], html.code()[0])
    ]
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'; " in policy


def test_the_code_that_travels_is_small(trace):
    loader = parsed(html.page(trace)).scripts[1]
    assert len(loader) + sum(map(len, html.packed_code(lesson=True))) <= 60 * 1024
    content = json.loads(parsed(html.page(trace)).scripts[0])
    assert (content["code"], content["css"]) == html.packed_code()
    assert "function turnTo" in html.code(lesson=True)[0]
    assert "function turnTo" not in html.code()[0]  # a lesson's code is only in its own page


def test_a_page_is_the_same_each_time_and_an_output_has_a_name_of_its_own(trace):
    assert html.page(trace, lang="es") == html.page(trace, lang="es")
    names = {re.search(r'id="(compuerta-\w+)"', trace._repr_html_())[1] for _ in range(3)}
    assert len(names) == 3


def test_a_trace_too_large_is_refused_and_the_file_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MOST_VALUES", 1000)
    file = tmp_path / "a.html"
    file.write_text("before")
    _, trace = LSTM(2, 8, rng=0).trace(np.ones((40, 2)))
    with pytest.raises(
        SettingError, match=r"40 × 8 × 1 \(steps × units × layers\) holds 1920 values, .* at most 1000; .*select"
    ):
        trace.to_html(file)
    assert file.read_text() == "before"
    assert "1920" in trace._repr_html_()
    trace.select(units=[0, 3, 5]).to_html(file)
    assert file.read_text().startswith("<!DOCTYPE html>")


def test_what_cannot_stand_in_one_page_is_refused(model):
    _, uneven = Sequential(GRU(2, 3, rng=0), LSTM(3, 4, rng=1)).trace(np.ones((5, 2)))
    with pytest.raises(SettingError, match="different kinds or widths"):
        html.page(uneven)
    _, nothing = LSTM(2, 3, rng=0).trace(np.ones((0, 2)))
    with pytest.raises(SettingError, match="nothing to show"):
        html.page(nothing)
    with pytest.raises(SettingError, match="must be of the same text or series"):
        html.page(model, "la luna", other=model.trace("la lana"))


def test_sizes_are_told_to_a_fraction_of_a_decade(rng):
    size = 10 ** rng.uniform(*DECADES, 1000)
    step = (DECADES[1] - DECADES[0]) / 254
    back = DECADES[0] + (in_decades(size).astype(float) - 1) * step
    assert np.abs(back - np.log10(size)).max() <= step / 2 + 1e-9
    assert in_decades(np.array([0.0, np.nan, np.inf, 1e-300])).tolist() == [0, 0, 255, 1]


def test_a_scene_knows_when_the_page_can_run_the_model(model, trace, rng):
    x = rng.normal(size=(1, 6, 2))
    assert {"w_h.0", "w_h.1", "w", "embedding"} < scene_of(trace).weights.keys()
    assert scene_of(trace.select(units=[1])).model is None
    assert scene_of(trace.select(steps=slice(3, 9))).model is None
    for layer in (model.model_.layers[1], GRU(12, 3, rng=0), compuerta.MinLSTM(12, 3, rng=0)):
        held = layer.trace(rng.normal(size=(6, layer.input_size)), clamp={("h", 0, 1): 0.0})[1]
        assert scene_of(held).model is None
    assert scene_of(model.trace("la luna", clamp={("f", 0, 1): 0.0})).model is None
    assert scene_of(Sequential(LSTM(2, 3, rng=0), Dense(3, 3, rng=0), Dense(3, 1, rng=0)).trace(x)[1]).model is None
    for layer in (
        LSTM(2, 3, rng=0),
        GRU(2, 3, 2, bidirectional=True, rng=0),
        Sequential(GRU(2, 3, reset_after=False, rng=0), Dense(3, 1, rng=0)),
    ):
        assert scene_of(layer.trace(x)[1]).model["hidden"] == 3


@pytest.mark.parametrize("layer", [
    LSTM(3, 8, rng=0), GRU(3, 24, bidirectional=True, rng=0), LSTM(3, 250, rng=0),
], ids=["narrow", "both ways", "wide"])  # fmt: skip
def test_a_longer_reading_is_a_larger_page(layer, rng):
    x = rng.normal(size=(300, 3))
    sizes = [len(html.page(layer.trace(x[:steps])[1])) for steps in (1, 20, 60, 100, 200, 300)]
    assert sizes == sorted(sizes)


def test_the_command_writes_a_page(model, tmp_path):
    from click.testing import CliRunner

    from compuerta.cli import build

    file, page = tmp_path / "m.safetensors", tmp_path / "gates.html"
    compuerta.save(model, file)
    asked = ["look", str(file), "--text", "la luna, la ola", "--unit", "3", "--layer", "2", "--gate", "f"]
    done = CliRunner().invoke(build("es"), [*asked, "-o", str(page)])
    assert done.exit_code == 0, done.output
    content = json.loads(parsed(page.read_text(encoding="utf-8")).scripts[0])
    assert content["lang"] == "es"
    assert content["about"]["layers"] == 2
    assert content["model"]["kind"]["key"] == "lstm"  # the page can run it
    assert content["about"]["start"] == {"unit": 2, "place": 1, "key": "f"}
