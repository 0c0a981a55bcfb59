"""A page in Debian's Chromium, with the network off: what the tests of every page share."""

import json
from functools import cache

import numpy as np

from compuerta import LanguageModel

TEXT = 'la luna, "la luz", «la lana». La ola\nLola va a la ola. ' * 8
HOSTILE = (
    "a</script><script>alert(1)</script> \"onload=alert(2)' </title><img src=x onerror=alert(3)>&lt;"
    "\x00\x07\x1b[31m=1+1\u2028\n"
)


@cache
def fitted():
    """A small model of :data:`TEXT`, the same for every test."""
    return LanguageModel(
        hidden_size=12, num_layers=2, embedding_size=6, batch_size=4, steps=16, updates=120, learning_rate=0.02
    ).fit(TEXT)


class Tab:
    """A page of the browser with the network off, which fails where the page errs or asks for anything but its file."""

    def __init__(self, browser, tmp_path, content, **options):
        self.path = tmp_path / "page.html"
        self.path.write_text(content, encoding="utf-8")
        self.context = browser.new_context(offline=True, **({"viewport": {"width": 1280, "height": 900}} | options))
        self.tab = self.context.new_page()
        self.errors, self.requests = [], []
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on(
            "console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text)
        )
        self.tab.on("request", lambda request: self.requests.append(request.url))

    def open(self, mark=""):
        self.tab.goto(self.path.as_uri() + mark)
        self.tab.wait_for_selector("[id^=compuerta-][data-ready]", state="attached")
        return self

    def __getattr__(self, name):
        return getattr(self.tab, name)

    def until(self, expression):
        """Wait for what ``inside`` evaluates; the page's policy forbids Playwright's own way to do so."""
        for _ in range(200):
            if self.inside(expression):
                return
            self.tab.wait_for_timeout(25)
        raise AssertionError(f"{expression} did not come")

    def text(self, selector):
        return self.tab.locator(selector).first.text_content()

    def inside(self, expression):
        """Evaluate with S, data, set of the page, and r the run that is shown."""
        return self.tab.evaluate(
            "(async () => { const { S, data, set } = document.querySelector('[data-ready]').compuerta;"
            f" const r = data.runs[S.shown]; return {expression}; }})()"
        )

    def go(self, **change):
        self.inside(f"set({json.dumps(change)})")
        self.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def values(self, key, place):
        shape = (self.inside("r.T"), -1)
        return np.array(self.inside(f"Array.from(r.values['{key}'][{place}])")).reshape(shape)

    def close(self):
        self.context.close()
        assert self.errors == []
        assert {url.split(":")[0] for url in self.requests} <= {"file", "blob"}


def shown(value):
    """A number as the page writes it."""
    return f"{value:.3f}".replace("-", "−")


def number(text):
    return float(text.replace("−", "-").replace("▲", "").replace("▼", "").replace("+", "").strip())
