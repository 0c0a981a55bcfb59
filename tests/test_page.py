"""What a person sees and does on the page, in Debian's Chromium with the network off."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import GRU, LSTM, LanguageModel, gates
from compuerta.see import html, readings
from compuerta.see.scale import DIVERGING, Scale
from compuerta.see.scene import DECADES, in_decades, scene_of
from compuerta.texts import LANGUAGES, catalogue
from in_browser import HOSTILE, TEXT, Tab, number, shown


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
    verdicts = [v.text("es") for v in readings.verdicts(readings.saturation(trace, 1))]
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


def test_a_unit_is_coloured_on_its_own_scale_as_in_the_terminal_and_a_map_on_that_of_all(opened, trace):
    memory = trace["c", 1][0]
    least, less = np.argsort(np.abs(memory).max(axis=0))[:2]  # two units that hold little
    own, other = Scale.of(gates.LSTM["c"], memory[:, least]), Scale.of(gates.LSTM["c"], memory[:, less])
    every = Scale.of(gates.LSTM["c"], np.stack([trace["c", 0], trace["c", 1]]))
    tab = opened(html.page(trace, lang="en"), f"#t=57&p=1&u={least}&q=c")

    def ends(card):
        return [number(end) for end in tab.locator(f"#{card} .ends-of > span:not(.ramp)").all_text_contents()]

    assert ends("ribbon") == pytest.approx([own.low, own.high], abs=6e-3)
    assert ends("heat") == pytest.approx([every.low, every.high], abs=6e-3)
    cell = tab.locator(".ribbon .cell").nth(57).locator("b").evaluate("(b) => b.style.background")
    assert np.abs(np.array(re.findall(r"\d+", cell), int) - own.colour(memory[57, least])).max() <= 2
    tab.go(u=int(less))
    assert ends("ribbon") == pytest.approx([other.low, other.high], abs=6e-3)
    assert f"C ±{other.high:.2f}".rstrip("0") in tab.text("#heat")


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
    assert [v["text"] for v in told["verdicts"]][:6] == tab.locator("#saturation .verdicts button").all_text_contents()
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
    assert "What is clamped, clipped or mixed in makes it C = 0.000" in tab.text(".sum-of")


def test_what_is_clamped_is_described_as_clamped(opened, model, rng):
    """In the story, the drawing and the table: by a person on the page, and by who made the trace."""
    trace = model.trace(TEXT[:80])
    tab = opened(html.page(trace, lang="en"), "#t=40&u=3&q=c&p=1")
    for q, said in (("c", "but the cell is clamped at 0.000."), ("h", "What the unit shows is clamped at 0.000.")):
        tab.go(q=q)
        assert said not in tab.text("#cell .story")
        tab.locator("#live .field button").first.click()
        tab.until(f"S.clamps.some((c) => c.q === '{q}')")
        tab.go(t=40)
        assert said in tab.text("#cell .story")
    assert "now holds" not in tab.text("#cell .story")
    assert tab.text("#ledger .story") == "Unit 4 is clamped at C = 0.000: no step has a share in it."
    assert tab.locator("#ledger tbody tr, #ledger .ribbon .cell").count() == 0
    assert "clamped" in tab.locator(".cell-drawing .n").all_text_contents()
    assert [row.split("(")[1] for row in tab.locator(".step td:nth-child(2)").all_text_contents() if "(" in row] == [
        "clamped)"
    ] * 2
    tab.go(u=4)
    assert "clamped" not in tab.text("#cell .story") + tab.text(".cell-drawing")
    clamped = model.trace(TEXT[:80], clamp={("f", 1, 3): 0.25})
    tab = opened(html.page(clamped.select(units=[2, 3]), lang="en"), "#t=40&u=1&q=f&p=1")
    assert "unit 4 has its forget gate clamped (f = 0.250)." in tab.text("#cell .story")
    assert "clamped" in tab.locator(".gate[data-part=f]").get_attribute("class").split()
    gru = GRU(2, 4, rng=0)
    x = rng.normal(size=(9, 2))
    tab = opened(html.page(gru.trace(x, clamp={("h", 0, 2): 0.5})[1], lang="en"), "#t=4&u=2")
    assert "but it is clamped at 0.500." in tab.text("#cell .story")


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
        assert "What is clamped, clipped or mixed in makes it f = 0.000" in tab.text(".sum-of")
    layer = LSTM(2, 4, layer_norm="gates", rng=0)
    tab = opened(html.page(layer.trace(rng.normal(size=(9, 2)))[1], lang="en"), "#t=4&q=f")
    assert "only the value is shown" in tab.text(".sum-of")


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
        assert f"{shown(float(told.start[2]))} is left of its initial state" in tab.text("#ledger .story")
        tab.go(t=0)
        assert "; the share of the only step so far is" in tab.text("#ledger .story")


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
    assert "loses nothing of what it remembers" in tab.text("#ledger .story")


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
    from axe_playwright_python import sync_playwright as axe

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
