"""The page: what is in the file, and, in Debian's Chromium with the network off, what a person sees and does."""

import html as markup
import json
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, Dense, LanguageModel, Sequential
from compuerta.data import seasonal_series
from compuerta.errors import SettingError
from compuerta.see import html, readings, search
from compuerta.see.scale import DIVERGING
from compuerta.see.scene import DECADES, in_decades, scene_of
from compuerta.texts import LANGUAGES, catalogue
from in_browser import Tab, number, shown
from variant_cases import CASES

FOLDER = Path(html.__file__).parent / "page"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js")}
TEXT = 'la luna, "la luz", «la lana». La ola\nLola va a la ola. ' * 8
HOSTILE = (
    "a</script><script>alert(1)</script> \"onload=alert(2)' </title><img src=x onerror=alert(3)>&lt;"
    "\x00\x07\x1b[31m=1+1\u2028\n"
)


@pytest.fixture(scope="module")
def model():
    return LanguageModel(
        hidden_size=12, num_layers=2, embedding_size=6, batch_size=4, steps=16, updates=120, learning_rate=0.02
    ).fit(TEXT)


@pytest.fixture(scope="module")
def trace(model):
    return model.trace(TEXT[:200])


# ---- the sources ----------------------------------------------------------------------------------------------------


def test_every_module_is_joined_after_those_that_it_uses():
    assert {*html.MODULES, "load"} == SOURCES.keys()
    for k, name in enumerate(html.MODULES):
        used = re.findall(r'^import .* from "\./(\w+)\.js";', SOURCES[name], re.M)
        assert set(used) <= set(html.MODULES[:k]), name
        for names, other in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";', SOURCES[name], re.M):
            for one in names.split(","):
                assert re.search(rf"^export (async )?(const|function) {one.strip()}\b", SOURCES[other], re.M), one


def test_no_name_stands_twice_in_the_joined_script():
    script, _ = html.code(lesson=True)
    assert not re.search(r"^(import|export) ", script, re.M)
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


# ---- the file -------------------------------------------------------------------------------------------------------


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
    with pytest.raises(SettingError, match="must read the same"):
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


# ---- in the browser -------------------------------------------------------------------------------------------------


def test_every_number_of_the_step_is_that_of_the_trace(opened, trace):
    tab = opened(html.page(trace, lang="en"), "#t=57&p=1&u=4")
    for key in "figcoh":
        assert tab.text(f'.step [data-q="{key}"]') == shown(float(trace[key, 1][0, 57, 4]))
        for place in range(2):
            np.testing.assert_array_equal(tab.values(key, place), trace[key, place][0])
    assert tab.text(".step caption").startswith("Step 58")


def test_readings_on_the_page_are_those_of_python(opened, trace):
    tab = opened(html.page(trace, lang="es"), "#t=57&p=1&u=4")
    told = readings.ledger(trace, step=57, layer=1)
    assert f"C = {shown(told.value[4])}" in tab.text("#ledger .story")
    assert f"suman {shown(told.shares[:, 4].sum())}" in tab.text("#ledger .story")
    for row in tab.locator("#ledger tbody tr").all():
        step, _, share, _ = row.locator("td").all_text_contents()
        assert number(share) == pytest.approx(told.shares[int(step) - 1, 4], abs=6e-4)
    assert f"{readings.half_life(trace, 1)[4]:.1f} pasos" in tab.text("#ledger .story")
    verdicts = [v.told("es") for v in readings.verdicts(readings.saturation(trace, 1))]
    assert tab.locator("#saturation .verdicts button").all_text_contents() == verdicts[:6]
    logits = trace.y[0].astype(float)
    dy = np.exp(logits - logits.max(axis=1, keepdims=True))
    dy /= dy.sum(axis=1, keepdims=True)
    dy[np.arange(199), scene_of(trace).reading["ids"][1:]] -= 1
    dy[199] = 0
    flow = readings.gradient_flow(trace, dy[None].astype(np.float32) / 199, 1)
    for key in "ch":
        np.testing.assert_allclose(tab.inside(f"Array.from(r.flow.{key})")[200:], flow[key], rtol=1e-4, atol=1e-9)
    reach = readings.connectivity(trace, dy[None].astype(np.float32) / 199, 1, key="c")
    assert tab.inside("Array.from(r.flow.reach)") == in_decades(reach).ravel().tolist()


@pytest.mark.parametrize("what", ["words", "quotes", "lines"])
def test_the_search_finds_what_python_finds(opened, trace, what):
    tab = opened(html.page(trace, lang="en"))
    tab.locator("#find select").select_option(what)
    tab.locator("#find button.main").click()
    found = search.find_units(trace, search.labels_of(trace.text, what))
    first = tab.locator("#find tbody tr").first
    assert number(first.locator("td").first.text_content()) == pytest.approx(found.best[0].score, abs=6e-4)
    unit, layer = re.search(r"of (\d+), layer (\d+)", first.locator("th").text_content()).groups()
    assert (int(unit) - 1, int(layer) - 1) == (found.best[0].unit, found.best[0].layer)
    assert number(first.locator("td").nth(1).text_content()) == pytest.approx(found.chance, abs=6e-4)


@pytest.mark.parametrize("order", ["saturation", "memory"])
def test_units_stand_in_the_order_of_the_readings(opened, trace, order):
    tab = opened(html.page(trace, lang="en"), f"#p=1&order={order}")
    found = readings.saturation(trace, 1)
    first = readings.half_life(trace, 1) if order == "memory" else found.below["f"] + found.above["f"]
    expected = list(np.argsort(-first, kind="stable"))
    assert expected != sorted(expected)
    tops = []
    for u in range(12):
        tab.go(u=u)
        row = tab.locator(".heat .grid").nth(2).locator(".row")
        tops.append(float(row.evaluate("(row) => row.style.top").rstrip("%")))
    assert list(np.argsort(tops)) == expected


def test_what_is_marked_or_matched_can_be_looked_for(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    tab.locator("#find select").select_option("brush")
    cells = tab.locator("#ribbon .cell")
    for a, b in ((30, 36), (150, 157)):  # drag over two stretches, one in each half
        cells.nth(a).scroll_into_view_if_needed()
        cells.nth(a).hover()
        tab.mouse.down()
        for k in range(a, b + 1):
            cells.nth(k).hover()
        tab.mouse.up()
    assert tab.inside("S.marks.flatMap((on, t) => on ? [t] : [])") == [*range(30, 37), *range(150, 158)]
    tab.locator("#find button.main").click()
    labels = np.isin(np.arange(200), tab.inside("S.marks.flatMap((on, t) => on ? [t] : [])"))
    best = search.find_units(trace, labels).best[0]
    assert number(tab.text("#find tbody td")) == pytest.approx(best.score, abs=6e-4)
    tab.locator("#find select").select_option("regex")
    tab.locator("#find input").fill("l[au]")
    tab.locator("#find button.main").click()
    best = search.find_units(trace, search.labels_of(trace.text, "l[au]")).best[0]
    assert number(tab.text("#find tbody td")) == pytest.approx(best.score, abs=6e-4)
    tab.locator("#find input").fill("(")
    assert "cannot be read" in tab.text("#find [role=status]")


def test_marking_by_hand_begins_anew_and_takes_back(opened, trace):
    tab = opened(html.page(trace, lang="en"), "#t=10")
    marked, kind = "S.marks?.flatMap((on, t) => on ? [t] : []) ?? []", "#find select"
    tab.locator(kind).select_option("vowel")
    assert len(tab.inside(marked)) > 50
    tab.locator(".ribbon").first.focus()

    def press(*keys):
        for key in keys:
            tab.keyboard.press(key)
        tab.wait_for_timeout(50)
        return tab.inside(marked)

    assert press(*["Shift+ArrowRight"] * 4) == [10, 11, 12, 13, 14]
    assert tab.locator(kind).input_value() == "brush"
    assert press(*["Shift+ArrowLeft"] * 2) == [10, 11, 12]
    assert press(*["ArrowRight"] * 3, *["Shift+ArrowLeft"] * 1) == [10, 11, 12, 14, 15]
    tab.locator("button.lang").click()
    assert press() == [10, 11, 12, 14, 15]
    assert tab.locator(kind).input_value() == "brush"
    tab.locator("#find button", has_text=catalogue("es")["page.find.clear"]).click()
    tab.locator(".ribbon").first.focus()
    assert press("Shift+ArrowRight") == [14, 15]


QUOTED = (
    "—Ya —dijo él—, voy a «ver 3 casas».\n—¿«Una “sola” casa»?\nEra 'su' casa, „deutsch“ y “so” it isn’t ‘one’.\n\n"
    'Lejos—\n"sí" y "no',
    '—Voy —dijo.\n—Ven.\nFin"ya" “so” ’x «y».',
)


@pytest.mark.parametrize("text", QUOTED, ids=["paragraphs", "lines"])
def test_every_preset_marks_what_python_marks(opened, text):
    text *= 3
    model = LanguageModel(hidden_size=3, embedding_size=2, batch_size=2, steps=8, updates=1).fit(text * 4)
    trace = model.trace(text)
    tab = opened(html.page(trace, lang="en"))
    for what in ("dialogue", "words", "quotes"):
        tab.locator("#find select").select_option(what)
        expected = search.labels_of(trace.text, what)
        assert expected.any()
        assert tab.inside("S.marks") == expected.tolist(), what


def test_a_search_leaves_out_what_is_not_finite_and_says_what_is_chance(opened, model, rng):
    scene = scene_of(model.trace(TEXT[:200]))
    for q in "ch":
        scene.values[q] = rng.normal(size=scene.values[q].shape).astype(np.float32)  # nothing follows anything
    scene.values["c"][1, 150] = np.nan
    scene.values["h"][0, 190, 3] = -np.inf
    tab = opened(html.page(scene, lang="en"))
    said = []
    for what in ("words", "vowel", "upper", "quotes"):
        tab.locator("#find select").select_option(what)
        tab.locator("#find button.main").click()
        held, chance = (number(tab.locator("#find tbody tr").first.locator("td").nth(k).text_content()) for k in (0, 1))
        said.append(tab.text("#find [role=status]").startswith("Nothing above chance."))
        assert said[-1] == (held <= chance)
        for row in tab.locator("#find tbody th").all():
            name, layer = row.text_content().strip(), {True: 2, False: 1}["layer 2" in row.text_content()]
            assert not (name.startswith("C ") and layer == 2)
            assert not (name.startswith("h of 4,") and layer == 1)
    assert True in said
    scene.values["c"][:, 3], scene.values["h"][:, 3] = np.nan, np.nan
    tab = opened(html.page(scene, lang="en"))
    tab.locator("#find button.main").click()
    assert "No unit has numbers at every step" in tab.text("#find [role=status]")


def test_what_is_measured_and_forced_is_that_of_the_model_shown(opened, model):
    text = TEXT[:200]
    before = LanguageModel(
        hidden_size=12, num_layers=2, embedding_size=6, batch_size=4, steps=16, updates=5, seed=3
    ).fit(TEXT)
    tab = opened(html.page(model, text, other=before, lang="en", labels=("after", "early")))
    tab.locator("#compare button").first.click()
    tab.locator("#find button.main").click()
    row = tab.locator("#find tbody tr").first
    q, unit, layer = re.search(r"(\w) of (\d+), layer (\d+)", row.locator("th").text_content()).groups()
    q, unit, layer = q.lower(), int(unit) - 1, int(layer) - 1
    row.get_by_role("button", name="Measure").click()
    assert row.get_by_role("button", name="Measure").evaluate("(b) => b === b.getRootNode().activeElement")
    value = float(before.trace(text)[q, layer][0, :, unit].astype(float).mean())

    def bits(clamp=None):
        logits = before.trace(text, clamp=clamp).y[0, :-1].astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        ids = before.vocabulary_.encode(text)[1:]
        return -np.log2(p[np.arange(len(ids)), ids]).mean()

    clamp = {(q, layer, unit): value}
    told = row.get_by_role("status").text_content().replace(" bits per character", "")
    assert number(told.replace("= ", "")) == pytest.approx(bits(clamp) - bits(), abs=6e-4)
    row.get_by_role("button", name="See it").click()
    tab.until("S.shown === 'live'")
    np.testing.assert_allclose(tab.values("h", 1), before.trace(text, clamp=clamp)["h", 1][0], rtol=1e-5, atol=2e-5)
    assert tab.locator("#live button[aria-label^=Release]").count() == 1
    assert "early" in tab.text(".shown")
    tab.locator(".shown button").click()
    tab.go()
    assert tab.inside("[S.shown, S.clamps.length]") == ["other", 0]
    assert tab.locator("#live button[aria-label^=Release]").count() == 0
    assert tab.evaluate("document.querySelector('[data-ready]').shadowRoot.activeElement.type") == "range"


def test_a_text_that_is_edited_is_run_as_if_written_at_once(opened, model, trace):
    tab = opened(html.page(trace, lang="en"), "#q=h&p=1&u=4")
    box, text = tab.locator("#live textarea"), TEXT[:170]
    edits = [text, text + "la", text[:120] + "ola " + text[120:], text[:60], "a" + text[1:80], text[:140]]
    for clamp in ({}, {("h", 1, 4): 0.5}):
        if clamp:
            tab.locator("#live input[type=number]").first.fill("0.5")
            tab.locator("#live .field button").first.click()
        for now in edits:
            box.fill(now)
            tab.until(f"S.shown === 'live' && r.T === {len(now)}")
            ids = tab.inside("Array.from(r.ids)")
            y, told = model.model_.trace(np.array([ids]), clamp=clamp)
            for q, p in (("c", 0), ("h", 1)):
                np.testing.assert_allclose(tab.values(q, p), told[q, p][0], rtol=1e-5, atol=2e-5)
            logits = y[0].astype(float)
            likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            got = np.array(tab.inside("Array.from(r.probabilities)")).reshape(likely.shape)
            np.testing.assert_allclose(got, likely, atol=1e-4)
            words = tab.locator("#ribbon .word:not(:empty)").evaluate_all(
                "(all) => all.map((w) => [...w.querySelectorAll('b, i')].map((c) => c.textContent).join(''))"
            )
            guessed = iter(
                tab.inside(
                    "Array.from(r.ids, (_, t) => [...r.probabilities.subarray(t * data.vocabulary."
                    "length, (t + 1) * data.vocabulary.length)]).map((p) => p.indexOf(Math.max(...p)))"
                )
            )
            both = [[c + model.vocabulary_.characters[next(guessed)] for c in w] for w in re.findall(r"\S*\s|\S+", now)]
            assert words == ["".join(w).replace(" ", "␣").replace("\n", "⏎") for w in both]


def test_a_field_without_a_number_is_refused_with_a_word(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    value, heat, seed = (tab.locator("#live input[type=number]").nth(k) for k in range(3))
    value.fill("")
    tab.locator("#live .field button").first.click()
    assert tab.inside("S.shown") == "base"
    assert tab.text("#live [role=status]") == "“Value to force” needs a number."
    value.fill("0.5")
    tab.locator("#live .field button").first.click()
    assert tab.inside("S.clamps.map((c) => c.v)") == [0.5]
    write = tab.locator("#live button", has_text="Let it write on")
    for field, name in ((heat, "Temperature"), (seed, "Seed")):
        kept = field.input_value()
        field.fill("")
        write.click()
        assert tab.locator("#live pre").count() == 0
        assert tab.text("#live [role=status]") == f"“{name}” needs a number."
        field.fill(kept)
    heat.fill("9")
    write.click()
    assert heat.input_value() == "3"
    assert tab.locator("#live pre").count() == 2
    tab.locator("#live textarea").fill("la\u202e\u0301 ☂")
    assert "U+202E" in tab.text("#live [role=status]")
    assert "\u202e" not in tab.text("#live [role=status]")


def test_holding_a_unit_costs_what_it_costs_in_python(opened, model, trace):
    tab = opened(html.page(trace, lang="en"), "#q=h&p=1&u=4")
    tab.locator("#live input[type=number]").first.fill("0.5")
    tab.locator("#live .field button").first.click()
    clamp = {("h", 1, 4): 0.5}
    bits = []
    for each in (trace, model.trace(trace.text, clamp=clamp)):
        logits = each.y[0, :-1].astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        ids = model.vocabulary_.encode(trace.text)[1:]
        bits.append(-np.log2(p[np.arange(len(ids)), ids]).mean())
    tab.until("S.shown === 'live'")
    told = re.findall(r"\d\.\d{3}", tab.text("#live p:not(.lede):not(.quiet)"))
    assert [float(v) for v in told[:2]] == pytest.approx(bits, abs=6e-4)
    np.testing.assert_allclose(
        tab.values("c", 1), model.trace(trace.text, clamp=clamp)["c", 1][0], rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("make", [
    lambda: LSTM(3, 9, 2, rng=0), lambda: GRU(3, 9, 2, rng=0), lambda: GRU(3, 9, reset_after=False, rng=0),
], ids=["lstm", "gru", "gru-before"])  # fmt: skip
def test_one_step_at_a_time_the_page_computes_the_same(opened, make, rng, monkeypatch):
    layer = make()
    for name in layer.parameters:
        layer.parameters[name] = rng.normal(size=layer.parameters.shapes[name])  # biases too
    _, trace = layer.trace(rng.normal(size=(120, 3)))
    tab = opened(html.page(trace, lang="en"))
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6
    assert "agrees with the trace" in tab.text("#live")
    q = "f" if "f" in trace.names else "n"  # the sum behind a gate is what its activation saw
    tab.go(t=70, u=5, q=q)
    np.testing.assert_allclose(number(tab.text(".terms tr.sum td.n")), trace["z_" + q, 0][0, 70, 5], atol=6e-4)


def test_what_rounding_to_32_bits_explains_is_no_difference_and_a_wrong_weight_is(opened, rng):
    layer = LSTM(2, 120, rng=0)
    for name in layer.parameters:
        layer.parameters[name] = 2 * rng.normal(size=layer.parameters.shapes[name])  # large sums, and a large c
    x = rng.normal(size=(300, 2)).astype(np.float32)
    _, trace = layer.trace(x)
    w_x, w_h, b = (np.asarray(layer.parameters[f"{name}_l0"], float) for name in ("w_x", "w_h", "b"))
    c, h, apart = trace["c", 0][0].astype(float), trace["h", 0][0].astype(float), 0.0
    assert np.abs(c).max() > 10
    for t in range(0, 300, 50):  # the steps between two states that the file holds, in 64 bits
        i, f, g, o = np.split(w_x @ x[t] + w_h @ (h[t - 1] if t else 0 * h[0]) + b, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c_t = f * (c[t - 1] if t else 0) + i * np.tanh(g)
        for exact, told in ((c_t, c[t]), (o * np.tanh(c_t), h[t])):
            apart = max(apart, (np.abs(exact - told) / np.maximum(1, np.abs(told))).max())
    assert apart > 1e-6
    scene = scene_of(trace)
    tab = opened(html.page(scene, lang="en"))
    tab.until("data.parity !== undefined")
    assert tab.inside("data.parity.worst") == pytest.approx(apart, rel=1e-5)
    assert apart < tab.inside("data.parity.allowed") < 1e-4
    assert "agrees with the trace" in tab.text("#live")
    scene.weights["w_h.0"] = scene.weights["w_h.0"] * 1.001
    tab = opened(html.page(scene, lang="en"))
    tab.until("data.parity !== undefined")
    assert "differs from the trace" in tab.text("#live")


def test_what_is_not_finite_is_the_same_where_it_is_not_finite_in_both(opened, rng):
    x = rng.normal(size=(12, 3))
    x[5, 1] = np.inf
    tab = opened(html.page(LSTM(3, 4, rng=0).trace(x)[1], lang="en"))
    tab.until("data.parity !== undefined")
    assert tab.inside("data.parity.worst") < 1e-6
    assert "agrees with the trace" in tab.text("#live")


MADE = {
    "gru": partial(GRU, dtype="float64"), "gru, reset before": partial(GRU, reset_after=False, dtype="float64"),
    "minlstm": partial(compuerta.MinLSTM, dtype="float64"),
} | {case: partial(LSTM, dtype="float64", **switches) for case, switches in CASES.items()}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_every_cell_runs_live_in_both_directions_and_can_be_held(opened, kind, rng, monkeypatch):
    monkeypatch.setattr(html, "_STORED", 0)  # all is computed in the page
    layer = MADE[kind](3, 5, 2, bidirectional=True)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = 0.8 * rng.normal(size=shape)
    x, state = rng.normal(size=(60, 3)).astype(np.float32), [rng.normal(size=(4, 1, w)) for w in layer.widths]
    state = None if layer.learn_state else state[0] if len(state) == 1 else tuple(state)
    _, free = layer.trace(x, state)
    tab = opened(html.page(free, lang="en"))

    def compared(trace):
        shown = tab.inside(
            "Object.fromEntries(Object.entries(r.values).map(([q, all]) => [q, all.map((v) => [...v])]))"
        )
        for q in trace.names:
            for p, values in enumerate(shown[q]):
                told = trace[q, p // 2, p % 2][0]
                got = np.array(values, float).reshape(60, -1)
                np.testing.assert_allclose(got[:, : told.shape[1]], told, rtol=1e-6, atol=1e-6, err_msg=f"{q} of {p}")
                assert np.isnan(got[:, told.shape[1] :]).all()

    compared(free)
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6
    gate = trace_gate(free)
    clamp = {("h", 1, 0, 1): -0.5, (gate, 0, 1, 2): 0.25, (gate, 1, 1, 3): 1.0}
    for (q, k, d, u), v in clamp.items():
        tab.go(p=2 * k + d, q=q, u=u)
        tab.locator("#live input[type=number]").first.fill(str(v))
        tab.locator("#live .field button").first.click()
    tab.until("S.shown === 'live' && S.clamps.length === 3")
    compared(layer.trace(x, state, clamp=clamp)[1])


def trace_gate(trace):
    """A gate that every cell of the kind has, and that moves."""
    return next(q for q in ("f", "z") if q in trace.names)


def test_steps_have_the_numbers_of_every_other_face(opened, model, tmp_path, capsys):
    """The page of the command leaves out the line break before the text, as the terminal and the plots do."""
    from compuerta import cli
    from compuerta.see import plots

    file, page, text = tmp_path / "m.safetensors", tmp_path / "gates.html", TEXT[3:123]
    compuerta.save(model, file)
    asked = ["look", str(file), "--text", text, "--unit", "3", "--lang", "en"]
    assert cli.run([*asked, "-o", str(page)]) == 0
    assert cli.run([*asked, "--gate", "f", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    tab = opened(page.read_text(encoding="utf-8"), "#t=57&u=2&q=f")
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6  # it runs, and begins after the line break
    np.testing.assert_allclose(tab.values("f", 0)[:, 2], told["values"], rtol=1e-6)
    tab.wait_for_timeout(200)
    for said in (tab.text(".now-line"), tab.locator(".ribbon").first.get_attribute("aria-valuetext")):
        assert said.startswith(f"Step 58 of 120, “{text[57]}”.")
    assert tab.text(".step caption").startswith("Step 58, ")
    assert tab.text("#flow .chart + p").startswith("At step 58, ")
    assert tab.locator("input[type=range]").input_value() == "58"
    tab.go(t=119)
    shares = told["ledger"]["shares"]
    assert f"the shares of 120 steps sum to {shown(sum(shares) + told['ledger']['start'])}" in tab.text(
        "#ledger .story"
    )
    for row in tab.locator("#ledger tbody tr").all():
        step, _, share, _ = row.locator("td").all_text_contents()
        assert number(share) == pytest.approx(shares[int(step) - 1], abs=6e-4)
    assert f"{told['half_life']:.1f} steps" in tab.text("#ledger .story")
    assert [v["told"] for v in told["verdicts"]][:6] == tab.locator("#saturation .verdicts button").all_text_contents()
    tab.locator(".more summary").click()
    with tab.expect_download() as download:
        tab.locator(".more button").first.click()
    rows = [row.split(",") for row in Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()[1:]]
    assert [int(row[0]) for row in rows if row[0].isdigit()] == list(range(1, 121))
    tab.locator("#live textarea").fill(text[40:50])
    np.testing.assert_allclose(tab.values("c", 1), model.trace("\n" + text[40:50])["c", 1][0, 1:], rtol=1e-5, atol=2e-5)
    later = model.trace(TEXT[:200]).select(steps=slice(20, 200))
    part = opened(html.page(later, lang="en"), "#t=17")
    assert part.text(".step caption").startswith("Step 38, ")
    assert part.locator("input[type=range]").input_value() == "38"
    slider = part.locator(".ribbon").first
    ends = [slider.get_attribute(f"aria-value{end}") for end in ("min", "max")]
    ticks = [one.get_text() for one in plots.unit(later, 2).get_xticklabels()]
    assert ends == [ticks[0], ticks[-1]] == ["21", "200"]


def test_a_step_of_a_place_that_reads_backward_has_its_terms(opened, rng):
    layer = LSTM(3, 5, 2, bidirectional=True, peepholes=True, rng=0)
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = rng.normal(size=shape)
    _, trace = layer.trace(rng.normal(size=(20, 3)))
    tab = opened(html.page(trace, lang="en"))
    for p, (k, d) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        for q in "fgo":
            tab.go(p=p, t=7, u=3, q=q)
            z = trace["z_" + q, k, d][0, 7, 3]
            assert number(tab.text(".terms tr.sum td.n")) == pytest.approx(z, abs=6e-4)
    tab.go(q="c")
    assert f"Together: C = {shown(float(trace['c', 1, 1][0, 7, 3]))}" in tab.text(".sum-of")
    tab.go(q="h")
    assert "only the value is shown" in tab.text(".sum-of")
    tab.go(q="c")
    tab.locator("#live .field button").first.click()
    tab.until("S.shown === 'live'")
    tab.wait_for_timeout(60)
    assert "What is forced, clipped or mixed in makes it C = 0.000" in tab.text(".sum-of")


def test_what_is_held_is_told_as_held(opened, model, rng):
    """In the story, the drawing and the table: by a person on the page, and by who made the trace."""
    trace = model.trace(TEXT[:80])
    tab = opened(html.page(trace, lang="en"), "#t=40&u=3&q=c&p=1")
    for q, said in (("c", "but the cell is held at 0.000."), ("h", "What the unit shows is held at 0.000.")):
        tab.go(q=q)
        assert said not in tab.text("#cell .story")
        tab.locator("#live .field button").first.click()
        tab.until(f"S.clamps.some((c) => c.q === '{q}')")
        tab.go(t=40)
        assert said in tab.text("#cell .story")
    assert "now holds" not in tab.text("#cell .story")
    assert tab.text("#ledger .story") == "Unit 4 is held at C = 0.000: no step has a share in it."
    assert tab.locator("#ledger tbody tr, #ledger .ribbon .cell").count() == 0
    assert "held" in tab.locator(".cell-drawing .n").all_text_contents()
    assert [row.split("(")[1] for row in tab.locator(".step td:nth-child(2)").all_text_contents() if "(" in row] == [
        "held)"
    ] * 2
    tab.go(u=4)
    assert "held" not in tab.text("#cell .story") + tab.text(".cell-drawing")
    held = model.trace(TEXT[:80], clamp={("f", 1, 3): 0.25})
    tab = opened(html.page(held.select(units=[2, 3]), lang="en"), "#t=40&u=1&q=f&p=1")
    assert "unit 4 has its forget gate held (f = 0.250)." in tab.text("#cell .story")
    assert "held" in tab.locator(".gate[data-part=f]").get_attribute("class").split()
    gru = GRU(2, 4, rng=0)
    x = rng.normal(size=(9, 2))
    tab = opened(html.page(gru.trace(x, clamp={("h", 0, 2): 0.5})[1], lang="en"), "#t=4&u=2")
    assert "but it is held at 0.500." in tab.text("#cell .story")


def test_a_gru_is_told_in_words_of_its_own(opened, rng):
    """Nothing of an output gate that it has not, nor of forget gates; and a MinLSTM's gates see no state."""
    x = rng.normal(size=(9, 2))
    for layer, note, path in (
        (GRU(2, 4, rng=0), "gate.h_gru.note", "gru"),
        (compuerta.MinLSTM(2, 4, rng=0), "gate.h_min.note", "minlstm"),
        (LSTM(2, 4, rng=0), "gate.h.note", "lstm"),
    ):
        for lang in LANGUAGES:
            tab = opened(html.page(layer.trace(x)[1], lang=lang), "#t=4&q=h")
            assert catalogue(lang)[note] in tab.text("#cell")
            assert catalogue(lang)[f"page.ledger.direct.{path}"] in tab.text("#ledger")


def test_the_map_of_the_gradient_is_read_by_keyboard_and_says_of_what_it_is(opened, trace, rng):
    tab = opened(html.page(trace, lang="en"), "#t=57&p=0")
    assert "the memory of layer 2, the last" in tab.text("#flow")
    sizes = np.array(tab.inside("Array.from(r.flow.reach)")).reshape(200, 200)
    grid = tab.locator("#flow .square .grid")
    grid.focus()
    for keys, (s, k) in (
        ([], (57, 47)),
        (["ArrowUp", "ArrowRight", "ArrowRight"], (56, 49)),
        (["Shift+ArrowLeft"], (56, 39)),
    ):
        for key in keys:
            tab.keyboard.press(key)
        said = grid.get_attribute("aria-valuetext")
        value = 10 ** (DECADES[0] + (sizes[s, k] - 1) / 254 * (DECADES[1] - DECADES[0]))
        digits, power = f"{value:.0e}".split("e")
        assert f"step {s + 1} (" in said
        assert f"step {k + 1} (" in said
        assert said.endswith(f"{digits}e{int(power)}".replace("-", "−").replace("e0", "e+0"))
        assert tab.text("#flow .square + p") == said
    assert tab.inside("S.t") == 57
    _, plain = LSTM(2, 4, rng=0).trace(rng.normal(size=(9, 2)))  # no map: it is of texts
    tab = opened(html.page(plain, lang="en"))
    tab.go(t=3)
    tab.go(t=4)
    assert not tab.locator("#flow .square").is_visible()
    assert tab.locator("#flow .chart").is_visible()


def test_a_gate_without_weights_of_its_own_is_told_by_its_rule(opened, rng):
    for switch, rule in (({"coupled": True}, "f = 1 − i = 1 − "), ({"forget_gate": False}, "f = 1.000")):
        layer = LSTM(2, 4, rng=0, **switch)
        tab = opened(html.page(layer.trace(rng.normal(size=(9, 2)))[1], lang="en"), "#t=4&q=f")
        assert rule in tab.text(".sum-of")
        tab.locator("#live .field button").first.click()
        tab.until("S.shown === 'live'")
        tab.wait_for_timeout(60)
        assert "What is forced, clipped or mixed in makes it f = 0.000" in tab.text(".sum-of")
    layer = LSTM(2, 4, layer_norm="gates", rng=0)
    tab = opened(html.page(layer.trace(rng.normal(size=(9, 2)))[1], lang="en"), "#t=4&q=f")
    assert "only the value is shown" in tab.text(".sum-of")


@pytest.mark.parametrize("layer", [
    LSTM(3, 8, rng=0), GRU(3, 24, bidirectional=True, rng=0), LSTM(3, 250, rng=0),
], ids=["narrow", "both ways", "wide"])  # fmt: skip
def test_a_longer_reading_is_a_larger_page(layer, rng):
    x = rng.normal(size=(300, 3))
    sizes = [len(html.page(layer.trace(x[:steps])[1])) for steps in (1, 20, 60, 100, 200, 300)]
    assert sizes == sorted(sizes)


def test_a_run_that_began_from_a_state_says_so(opened, rng):
    layer = LSTM(2, 4, rng=0)
    state = tuple(rng.normal(size=(1, 1, 4)).astype(np.float32) for _ in range(2))
    _, whole = layer.trace(rng.normal(size=(30, 2)), state)
    for trace, from_c in ((whole, state[1][0, 0]), (whole.select(steps=slice(10, 30)), whole["c", 0][0, 9])):
        tab = opened(html.page(trace, lang="en"), "#t=0&u=2&q=c")
        assert shown(float(from_c[2])) in tab.locator(".cell-drawing .n").all_text_contents()
        tab.go(t=4)
        told = readings.ledger(trace, step=4)
        assert f"the shares of 5 steps sum to {shown(float(told.value[2]))}" in tab.text("#ledger .story")
        assert f"{shown(float(told.start[2]))} is left of what it began with" in tab.text("#ledger .story")
        tab.go(t=0)
        assert "; the share of the only step so far is" in tab.text("#ledger .story")


def test_a_trace_stored_in_part_is_computed_again_from_stored_states(opened, model, trace, monkeypatch):
    monkeypatch.setattr(html, "_STORED", 0)
    tab = opened(html.page(trace, lang="en"))
    for key in "figcoh":
        np.testing.assert_allclose(tab.values(key, 1), trace[key, 1][0], rtol=1e-5, atol=2e-5)
    tab.until("data.parity !== undefined")
    assert 0 < tab.inside("data.parity.worst") < 1e-6


def test_everything_is_done_by_keyboard(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    press, here = tab.keyboard.press, lambda: tab.inside("({ ...S })")
    press("ArrowRight"), press("ArrowRight"), press("ArrowLeft")
    assert here()["t"] == 1
    press("End")
    assert here()["t"] == 199
    press("PageUp")
    assert here()["t"] == 189
    press("Home")
    assert here()["t"] == 0
    unit = here()["u"]
    press("ArrowDown"), press("o"), press("l"), press("p"), press("ArrowRight")
    assert (here()["u"], here()["q"], here()["p"], here()["pin"]) == ((unit + 1) % 12, "o", 1, 0)
    press("Shift+ArrowRight"), press("Shift+ArrowRight")
    assert here()["mark"] == [1, 3]
    press("Enter")
    assert tab.evaluate("document.querySelector('[data-ready]').shadowRoot.activeElement.id") == "cell-h"
    press("?")
    assert tab.locator("dialog").is_visible()
    press("Escape")
    assert not tab.locator("dialog").is_visible()
    press(" ")
    tab.until("S.t > 5")
    press(" ")
    assert not here()["playing"]
    tab.locator("#live textarea").focus()
    tab.keyboard.type("la f")
    assert (here()["t"], here()["q"]) == (2, "o")  # the letters went into the text; f is none that the model knows
    assert "".join(tab.inside("Array.from(r.ids, (v) => data.vocabulary[v])")) == "la "
    assert "f" in tab.text("#live [role=status]")
    seen = set()
    tab.locator(".ribbon").first.focus()
    for _ in range(60):
        press("Tab")
        who = tab.evaluate(
            "(() => { const a = document.querySelector('[data-ready]').shadowRoot.activeElement;"
            " return a && (a.closest('section')?.id ?? 'top') + '/' + (a.className || a.tagName); })()"
        )
        seen.add(who or "")
    assert "heat/heat" in seen
    assert not any(who.endswith("/cell") for who in seen)


def test_a_picture_of_the_whole_page_has_all_of_it_and_a_step_lays_it_out_once(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    unseen = "c => c.querySelectorAll('p, td, canvas').length && [...c.querySelectorAll('p, td, canvas')]"
    unseen += ".some((e) => e.getClientRects().length && !e.checkVisibility({ contentVisibilityAuto: true }))"
    cards = tab.locator(".card").all()
    assert [one.get_attribute("id") for one in cards if one.evaluate(unseen)] == []
    metrics = tab.tab.context.new_cdp_session(tab.tab)
    metrics.send("Performance.enable")

    def layouts():
        told = metrics.send("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in told if one["name"] == "LayoutCount")

    tab.go(t=0)
    before = layouts()
    for t in range(1, 31):
        tab.go(t=t)
    assert layouts() - before < 45  # two a step where sizes are asked for amid the writing
    tab.go(t=199)
    assert tab.locator(".ribbon .cell.now").first.evaluate(
        "(c) => { const a = c.getBoundingClientRect(), b = c.closest('.ribbon').getBoundingClientRect();"
        " return a.top >= b.top && a.bottom <= b.bottom; }"
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_both_languages(opened, trace, lang):
    tab = opened(html.page(trace, lang=lang), "#t=7")
    other = {"en": "es", "es": "en"}[lang]
    for now in (lang, other):
        assert tab.evaluate("document.documentElement.lang") == now
        words = tab.text(".compuerta")
        assert catalogue(now)["page.ledger.title"] in words
        assert not re.search(r"\b(page|gate|reading)\.[a-z]+\b|\{\w+\}", words)
        assert tab.inside("S.t") == 7
        tab.locator("button.lang").click()
    tab.until("location.hash.includes('t=7')")


def test_the_place_is_in_the_address(opened, trace):
    tab = opened(html.page(trace, lang="en"), "#t=9999&u=3&q=nothing&order=memory&pin=4&lang=es")
    assert tab.inside("[S.t, S.u, S.q, S.order, S.pin]") == [199, 3, "c", "memory", 4]
    assert tab.evaluate("document.documentElement.lang") == "es"
    tab.go(t=12)
    tab.until("location.hash.includes('t=12')")


def test_an_address_cannot_name_what_every_object_has(opened, trace):
    tab = opened(html.page(trace, lang="en"), "#q=constructor&order=__proto__&lang=__proto__&t=5")
    assert tab.inside("[S.t, S.q, S.order]") == [5, "c", "index"]
    assert tab.text("#cell-h") == catalogue("en")["page.cell.title"]
    tab.evaluate("location.hash = '#q=toString&lang=constructor'")
    tab.keyboard.press("ArrowRight")
    assert tab.inside("[S.t, S.q]") == [6, "c"]


def test_nan_and_infinity_are_shown_as_such(opened, rng):
    layer = LSTM(2, 4, rng=0)
    x = rng.normal(size=(1, 9, 2))
    _, trace = layer.trace(x)
    scene = scene_of(trace)
    scene.values["c"] = scene.values["c"].copy()
    scene.values["c"][0, 3, 1], scene.values["c"][0, 4, 1] = np.nan, -np.inf
    tab = opened(html.page(scene, lang="en"), "#t=3&u=1&q=c")
    assert tab.text('.step [data-q="c"]') == "NaN"
    tab.go(t=4)
    assert tab.text('.step [data-q="c"]') == "−∞"
    assert 0 < tab.inside("data.limits.c") < 10
    for t in (3, 4):
        tab.go(t=t)
        assert "not all the numbers of unit 2 are finite" in tab.text("#cell .story")
        assert tab.text("#ledger .story") == "What this unit holds is not finite."
    scene.values["f"] = scene.values["f"].copy()
    scene.values["f"][0, 2, 1] = np.nan  # what was written before it cannot be told apart any more
    scene.values["i"] = np.zeros_like(scene.values["i"])  # and another unit got nothing at all
    scene.initial = np.zeros_like(scene.initial)
    scene.values["f"][0, :, 3] = 1.0
    tab = opened(html.page(scene, lang="en"), "#t=6&u=1&q=c")
    assert "not finite" in tab.text("#ledger .story")
    assert not re.search(r"\bNaN\b", tab.text("#ledger .story + p + .quiet"))
    tab.go(u=3)
    assert "NaN" not in tab.text("#ledger")
    assert "loses nothing of what it holds" in tab.text("#ledger .story")


def test_hostile_text_stays_text(opened):
    model = LanguageModel(hidden_size=4, embedding_size=3, batch_size=2, steps=8, updates=2).fit(HOSTILE * 4)
    tab = opened(html.page(model, HOSTILE, title=HOSTILE, labels=(HOSTILE, ""), other=model, lang="en"))
    assert tab.locator("h1").text_content().startswith("a</script><script>alert(1)</script>")
    assert tab.evaluate("document.querySelector('[data-ready]').shadowRoot.querySelectorAll('script, img').length") == 0
    tab.go(t=HOSTILE.index("\x07"))
    assert "␇" in tab.text(".step caption")
    csv = tab.evaluate("document.querySelector('[data-ready]').compuerta.data.vocabulary.includes('=')")
    assert csv
    tab.locator(".more summary").click()
    with tab.expect_download() as download:
        tab.locator(".more button").first.click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert any(line.split(",")[1].startswith("\"'=") for line in lines if line.count(",") == 7)


def test_pictures_are_taken_along(opened, trace):
    tab = opened(html.page(trace, lang="en"))
    tab.locator(".more summary").click()
    for k, start in ((1, b"\x89PNG"), (2, b"<svg")):
        with tab.expect_download() as download:
            tab.locator(".more button").nth(k).click()
        assert Path(download.value.path()).read_bytes().startswith(start)


def test_what_is_taken_along_says_its_scale_and_its_dates(opened, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    file = tmp_path / "s.csv"
    file.write_text("month,s\n" + "".join(f"{2000 + k // 12}-{k % 12 + 1:02}-01,{np.sin(k) + 3}\n" for k in range(60)))
    series = compuerta.data.read_series(file)
    model = compuerta.Forecaster(horizon=3, hidden_size=4, members=1, max_epochs=2, origins=0).fit(series)
    tab = opened(html.page(model, lang="en"), "#q=c")
    tab.locator(".more summary").click()
    saved = []
    for k in range(2):
        with tab.expect_download() as download:
            tab.locator(".more button").nth(k).click()
        saved.append(download.value.path())
    rows = [row.split(",") for row in Path(saved[0]).read_text(encoding="utf-8-sig").splitlines()]
    assert rows[0][:3] == ["step", "label", "value"]
    known = model.trace()
    assert [(row[1], float(row[2])) for row in rows[1:]] == list(
        zip(known.labels, map(float, known.values_in), strict=True)
    )
    head = imread(saved[1])[:62, :, :3]
    ramp = np.flatnonzero(head[45].max(axis=1) - head[45].min(axis=1) > 0.02)  # neither black nor white nor between
    for at, colour in ((ramp[0], DIVERGING[0]), (ramp[-1], DIVERGING[-1])):
        np.testing.assert_allclose(head[45, at], np.divide(colour, 255), atol=0.02)
    written = head[36:56].min(axis=(0, 2)) < 0.3
    assert written[: ramp[0]].any()
    assert written[ramp[-1] + 1 :].any()


def test_a_trace_that_does_not_know_what_was_read_does_not_make_it_up(opened, rng, tmp_path):
    _, trace = LSTM(2, 4, rng=0).trace(rng.normal(size=(9, 2)))
    trace.save(tmp_path / "t.safetensors")
    tab = opened(html.page(compuerta.Trace.load(tmp_path / "t.safetensors"), lang="en"), "#t=4")
    assert "does not store what was read" in tab.text("#series")
    assert tab.text(".step caption").startswith("Step 5, ?: ")
    assert tab.text("#series .ends") == ""
    assert "0.00" not in tab.text("#ledger code")
    tab = opened(html.page(trace, lang="en"))
    assert "does not store" not in tab.text("#series")


def test_a_character_is_seen_as_in_the_terminal(opened):
    text = "e\u0301a\u202eb\u00adc\u00a0d\u200d\n" * 6
    model = LanguageModel(hidden_size=4, embedding_size=3, batch_size=2, steps=8, updates=2).fit(text)
    tab = opened(html.page(model, text, lang="es"))
    seen = tab.locator(".ribbon .cell b").all_text_contents()[:11]
    assert seen == ["e", "◌\u0301", "a", "U+202E", "b", "U+00AD", "c", "U+00A0", "d", "U+200D", "⏎"]
    keys = tab.locator("dialog kbd").all_text_contents()
    assert {"Inicio", "Fin", "Av Pág", "Re Pág", "Intro", "Espacio"} < set(keys)
    assert not {"Home", "End", "PgDn", "PgUp", "Enter", "Space"} & set(keys)


def test_the_story_has_the_numbers_of_the_drawing(opened, rng):
    _, trace = LSTM(2, 4, rng=0).trace(rng.normal(size=(9, 2)))
    scene = scene_of(trace)
    scene.values["o"] = np.full_like(scene.values["o"], 0.0049)
    tab = opened(html.page(scene, lang="en"), "#t=4&u=1&q=o")
    assert "(o = 0.005)" in tab.text("#cell .story")
    assert tab.text(".gate[data-part=o] .n") == "0.005"


def test_a_series_and_its_forecast(opened):
    series = seasonal_series(96, period=12, rng=0)
    model = compuerta.Forecaster(horizon=6, hidden_size=8, members=1, max_epochs=4, origins=0).fit(series)
    tab = opened(html.page(model, lang="es"), "#t=3&q=f&u=2")
    assert tab.locator("#series .chart").is_visible()
    assert tab.locator("#find").count() == 0
    stored = tab.inside("Array.from(r.forecast)")
    tab.locator("#live input[type=number]").first.fill("1")
    tab.locator("#live .field button").first.click()
    forced = tab.inside("Array.from(data.runs.live.forecast)")
    assert np.abs(np.subtract(stored, forced)).max() > 1e-6
    tab.locator("#live .row-of button", has_text="✕").click()
    np.testing.assert_allclose(tab.inside("Array.from(r.forecast)"), stored)


def test_a_forecaster_that_went_wrong_has_a_page(opened):
    model = compuerta.Forecaster(horizon=3, hidden_size=4, members=1, max_epochs=1, origins=0)
    model.fit(seasonal_series(60, period=6, rng=0))
    network = model.members_[0][1]
    for name, shape in network.parameters.shapes.items():
        network.parameters[name] = np.full(shape, np.nan)
    tab = opened(html.page(model, lang="en"), "#t=3&q=f&u=2")
    tab.locator("#live .field button").first.click()
    assert np.isnan(np.array(tab.inside("data.runs.live.forecast.map(Number)"), float)).all()


@pytest.mark.parametrize("layer", [
    LSTM(2, 5, bidirectional=True, rng=0), LSTM(2, 5, coupled=True, peepholes=True, rng=0),
    LSTM(2, 5, output_gate=False, rng=0), compuerta.MinLSTM(2, 5, rng=0), GRU(2, 5, 2, bidirectional=True, rng=0),
], ids=["both ways", "coupled", "no output gate", "minlstm", "gru"])  # fmt: skip
def test_every_cell_has_a_page(opened, layer, rng):
    _, trace = layer.trace(rng.normal(size=(30, 2)))
    tab = opened(html.page(trace, lang="en"), "#t=12&u=2")
    tab.keyboard.press("l")
    tab.keyboard.press("End")
    key = trace.names[-1]
    np.testing.assert_array_equal(tab.values(key, 0), trace[key, 0][0])


def test_two_outputs_in_one_document(browser, tmp_path, model):
    content = model.trace("la luna")._repr_html_() + model.trace("la lana")._repr_html_()
    tab = Tab(browser, tmp_path, f"<!DOCTYPE html><meta charset=utf-8><title>n</title><body>{content}")
    tab.open()
    tab.until("document.querySelectorAll('[data-ready]').length === 2")
    titles = [one.text_content() for one in tab.locator("h1").all()]
    assert titles == ["la luna", "la lana"]
    tab.locator(".ribbon").first.focus()
    tab.keyboard.press("ArrowRight")
    steps = tab.evaluate("[...document.querySelectorAll('[data-ready]')].map((host) => host.compuerta.S.t)")
    assert steps == [1, 0]
    assert tab.evaluate("location.hash") == ""
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("forced", ["none", "active"])
def test_axe_finds_nothing(browser, tmp_path, model, scheme, width, forced):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    content = html.page(model, TEXT[:200], other=model, lang="es")
    seen = {"color_scheme": scheme, "forced_colors": forced, "viewport": {"width": width, "height": 800}}
    tab = Tab(browser, tmp_path, content, **seen, bypass_csp=True)
    tab.open("#t=40&q=f&pin=3")
    tab.locator("#find button.main").click()
    tab.locator("#live textarea").fill("la luna")
    tab.locator("#live .row-of button").first.click()
    found = axe.Axe().run(tab.tab)
    assert found.response["violations"] == [], [
        (v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found.response["violations"]
    ]
    wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels stick out"
    tab.close()


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
    assert content["model"]["cell"] == "lstm"  # the page can run it
    assert content["about"]["start"] == {"unit": 2, "place": 1, "key": "f"}
