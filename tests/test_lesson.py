"""The lesson: a model that remembers, eleven steps whose numbers are its own, and a page that asks before it tells."""

import re
from pathlib import Path

import numpy as np
import pytest

from compuerta.see import html, lesson, readings
from compuerta.texts import LANGUAGES, catalogue
from in_browser import Tab, number, shown

LETTERS = "abc"


@pytest.fixture(scope="module")
def trace():
    return lesson.model().trace(lesson.TEXT)


@pytest.fixture(scope="module")
def steps(trace):
    return lesson.steps(trace, lesson.model().vocabulary_.characters)


@pytest.fixture(scope="module")
def page():
    return lesson.lesson(lang="en")


# ---- the model ------------------------------------------------------------------------------------------------------


def test_the_model_is_small_and_closes_what_was_opened(rng):
    assert sum(path.stat().st_size for path in lesson.FOLDER.glob("*.safetensors")) < 30_000
    model = lesson.model()
    for _ in range(50):
        inside = "".join(rng.choice(list("abc"), size=11))
        for opening, right, wrong in ("()]", "[])"):
            y = model.trace(f"(a) {opening}{inside}").y[0, -1]
            logit = dict(zip(model.vocabulary_.characters, y, strict=True))
            assert logit[right] > logit[wrong] + 3  # e³, 20 times likelier


def test_what_was_learnt_was_learnt():
    text = "(abc) [cab] (b) [abcabc] " * 4
    assert lesson.model().score(text) < lesson.model("untrained").score(text) - 0.5


# ---- the steps ------------------------------------------------------------------------------------------------------


def test_every_step_has_its_words_and_its_numbers_and_no_word_is_left(steps):
    assert len(steps) == 11
    parts = ("title", "text", "ask", *LETTERS, "wrong", "told")
    named = {f"lesson.{step['name']}.{part}" for step in steps for part in parts}
    for lang in LANGUAGES:
        texts = catalogue(lang)
        assert named <= texts.keys()
        steady = {key for key in texts if key.startswith("lesson.")} - named
        assert all(key.count(".") == 1 or key.startswith(("lesson.gate.", "lesson.compare.")) for key in steady)
        for step in steps:
            said = "".join(texts[f"lesson.{step['name']}.{part}"] for part in parts)
            assert set(re.findall(r"\{(\w+)\}", said)) == step["values"].keys(), step["name"]
            assert not re.search(r"\d\.\d\d", said), "a number of the model is typed in"


def test_every_other_word_of_the_lesson_is_said_by_the_page_which_asks_for_no_others(steps):
    sources = "".join(path.read_text(encoding="utf-8") for path in (Path(html.__file__).parent / "page").glob("*.js"))
    asked = [key for key in re.findall(r"[\"`](lesson\.[^\"`]+)[\"`]", sources) if "stepNow" not in key]
    patterns = [re.compile(re.escape(re.sub(r"\$\{[^}]*\}", "*", key)).replace(r"\*", r"\w+")) for key in asked]
    own = tuple(f"lesson.{step['name']}." for step in steps)
    others = {key for key in catalogue("en") if key.startswith("lesson.") and not key.startswith(own)}
    assert {key for key in others if not any(pattern.fullmatch(key) for pattern in patterns)} == set()
    assert [p.pattern for p in patterns if not any(map(p.fullmatch, others))] == []


def test_the_numbers_follow_from_the_trace_and_the_answers_are_those_that_the_words_explain(trace, steps):
    value = {q: trace[q, 0][0, :, lesson.UNIT].astype(float) for q in "figoch"}
    told = {step["name"]: step["values"] for step in steps}
    at = {step["name"]: step["t"] for step in steps}
    assert [step["answer"] for step in steps] == list("abcaabacbac")
    assert told["forget"]["f"] == value["f"][at["forget"]]
    assert told["forget"]["kept"] == pytest.approx(value["f"][at["forget"]] * value["c"][at["forget"] - 1])
    assert told["memory"]["b"] == pytest.approx(value["c"][at["memory"]], abs=1e-6)
    assert told["output"]["h"] == pytest.approx(value["o"][19] * np.tanh(value["c"][19]), abs=1e-6)
    shares = readings.ledger(trace, step=at["ledger"]).shares[:, lesson.UNIT]
    ledger = told["ledger"]
    assert ledger["opening"] == shares[30]
    assert ledger["opening"] + ledger["letters"] + ledger["space"] == pytest.approx(ledger["memory"], abs=0.02)
    assert told["gradient"]["kept"] == pytest.approx(np.prod(value["f"][31:41]))


def test_the_slope_of_the_gate_is_that_of_its_loss():
    for b in (-2.0, 0.0, 2.0):
        z = b + 1e-30j
        loss = (1 - (1 / (1 + np.exp(-z))) ** 10) ** 2
        assert lesson._slope(b, 10) == pytest.approx(loss.imag / 1e-30, rel=1e-9)


# ---- in the browser -------------------------------------------------------------------------------------------------


def written(value):
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.1e}".replace("e-0", "e-").replace("-", "−") if 0 < abs(value) < 5e-4 else shown(value)


def filled(key, values, lang):
    """A text of the catalogue as the page is to say it, its numbers written from Python's own."""
    return catalogue(lang)[key].format(**{name: written(value) for name, value in values.items()})


@pytest.mark.parametrize("lang", LANGUAGES)
def test_all_steps_by_keyboard_alone_asked_before_they_are_told(opened, page, steps, trace, lang):
    tab = opened(page, f"#lang={lang}")
    assert tab.title() == tab.text("h1") == catalogue(lang)["lesson.title"]
    for k, step in enumerate(steps):
        told = f"lesson.{step['name']}."
        tab.until(f"S.lesson === {k + 1}")
        tab.wait_for_timeout(250)  # the line that is read aloud waits until one has come to rest
        assert tab.text("#lesson-h") == f"{k + 1}. {filled(told + 'title', {}, lang)}"
        assert tab.text("#lesson .story") == filled(told + "text", step["values"], lang)
        assert tab.text("#lesson .told") == ""
        assert tab.text(".now-line").endswith(" ?.")
        for hidden in (".legend", ".next", ".ribbon i", ".sum-of", ".step", *(f"#{view}" for view in step["after"])):
            assert all(not one.is_visible() for one in tab.locator(hidden).all()), hidden
        for q in step["asked"].split():
            if q in "figo":
                drawn = tab.locator(f".gate[data-part={q}] .n").first.text_content()
                assert drawn == "?", q
        if step["name"] == "ledger":  # the place of which an earlier step said the number
            at = steps[1]["values"]["step"]
            said = catalogue(lang)["page.now"].split(",")[0]
            assert tab.text(".now-line").startswith(said.format(t=at, T=len(lesson.TEXT)) + ",")
        if "cell" in step["views"]:  # nor is the answer to be found elsewhere in the text
            tab.keyboard.press("ArrowLeft")
            tab.wait_for_timeout(60)
            assert tab.locator(".gate .n").all_text_contents() == ["?"] * 4
            tab.keyboard.press("ArrowRight")
        right = LETTERS.index(step["answer"])
        pressed = right if k % 2 else (right + 1) % 3  # every other answer is a wrong one
        tab.keyboard.press(str(pressed + 1))
        tab.until("!S.asked")
        tab.wait_for_timeout(60)
        said = tab.text("#lesson .told")
        lead = catalogue(lang)["lesson.right" if k % 2 else "lesson.wrong"]
        wrong = "" if k % 2 else filled(told + "wrong", step["values"], lang) + " "
        assert said == f"{lead} {wrong}{filled(told + 'told', step['values'], lang)}"
        assert tab.locator(".option.right").count() == 1
        assert "✓" in tab.locator(".option").nth(right).text_content()
        for view in (*step["views"], *step["after"]):
            assert tab.locator(f"#{view}").is_visible(), view
        if "cell" in step["views"]:
            for q in "figo":
                drawn = tab.locator(f".gate[data-part={q}] .n").first.text_content()
                assert drawn == shown(float(trace[q, 0][0, step["t"], lesson.UNIT]))
        tab.keyboard.press(str((pressed + 1) % 3 + 1))  # the first answer stands
        assert tab.text("#lesson .told") == said
        tab.keyboard.press("n")
    assert tab.inside("S.lesson") == 11
    tab.keyboard.press("b")
    tab.until("S.lesson === 10 && !S.asked")
    tab.wait_for_timeout(60)
    assert tab.text("#lesson .told")


def test_the_gate_is_trained_by_its_key_and_its_loss_falls(opened, page):
    tab = opened(page, "#lesson=11")
    tab.keyboard.press("3")
    numbers = r"b = (\S+), f = (\S+)\. After 10 steps (\S+) is left\. Loss (\S+), slope (\S+)\."
    tab.wait_for_timeout(60)
    b, losses = 2.0, []
    for _ in range(6):
        said = [number(text) for text in re.search(numbers, tab.text("#train [role=status]")).groups()]
        f = 1 / (1 + np.exp(-b))
        assert said == pytest.approx([b, f, f**10, (1 - f**10) ** 2, lesson._slope(b, 10)], abs=6e-4)
        losses.append(said[3])
        b -= 2 * lesson._slope(b, 10)
        tab.keyboard.press("t")
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.1 * losses[0]


def test_the_answer_stays_when_the_language_changes_and_the_page_runs_the_model(opened, page):
    tab = opened(page, "#lesson=3")
    assert tab.text("#lesson-h").startswith("3. ")
    tab.keyboard.press("3")
    tab.until("!S.asked")
    tab.locator(".lang").click()
    tab.wait_for_timeout(60)
    assert tab.text("#lesson .told").startswith("Sí.")
    assert tab.evaluate("document.documentElement.lang") == "es"
    assert tab.inside("Boolean(data.model)")
    assert tab.locator(".sum-of tr.sum").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_in_any_step(browser, tmp_path, page, scheme, width):
    from axe_playwright_python import sync_playwright as axe

    tab = Tab(browser, tmp_path, page, color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    tab.open("#lang=es")
    for k in range(11):
        for answered in (False, True) if k in (0, 2, 10) else (True,):
            if answered:
                tab.keyboard.press("2")
                tab.wait_for_timeout(60)
            found = axe.Axe().run(tab.tab).response["violations"]
            assert found == [], [(k, v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found]
            wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"step {k + 1}: {wide} pixels stick out"
        tab.keyboard.press("n")
        tab.wait_for_timeout(60)
    tab.close()


# ---- the command ----------------------------------------------------------------------------------------------------


def test_a_lesson_is_not_written_over_a_model_or_under_another_name(tmp_path, capsys):
    from compuerta import cli

    model = tmp_path / "m.safetensors"
    model.write_text("a model")
    for target in (model, tmp_path / "lesson.png"):
        assert cli.run(["lesson", "-o", str(target), "--lang", "en"]) == 2
        assert "must end in one of .html" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    assert model.read_text() == "a model"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_command_writes_the_lesson(tmp_path, lang):
    from click.testing import CliRunner

    from compuerta.cli import build

    file = tmp_path / "lesson.html"
    done = CliRunner().invoke(build(lang), ["lesson", "-o", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_text(encoding="utf-8") == lesson.lesson(lang=lang)
    assert catalogue(lang)["lesson.title"] in CliRunner().invoke(build(lang), ["lesson", "--help"]).output.replace(
        "\n  ", " "
    )
