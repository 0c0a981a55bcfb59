"""The page of a reading: its size, how soon it is seen, how fast it moves through time, how soon it answers typing.

python benchmarks/page.py [--hidden 256] [--vocabulary 80] [--steps 500] needs Chromium on the path and the extra
``browser``. The model is not trained: times do not depend on what the weights say, and the file is larger for it.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from compuerta import LanguageModel
from compuerta.see import html

READY = """new Promise((done) => {
  const look = () => document.querySelector("[data-ready]") ? done() : requestAnimationFrame(look);
  look();
})"""
FRAMES = """new Promise((done) => {
  const { S, set } = document.querySelector("[data-ready]").compuerta, times = [];
  let before = performance.now();
  const tick = (now) => {
    times.push(now - before);
    before = now;
    if (times.length > 200) return done(times.slice(1));
    set({ t: S.t + 1 });
    requestAnimationFrame(tick);
  };
  set({ t: 0 });
  requestAnimationFrame(tick);
})"""
TYPING = """(async (text) => {
  const area = document.querySelector("[data-ready]").shadowRoot.querySelector("textarea"), times = [];
  for (const letter of text) {
    const start = performance.now();
    area.value += letter;
    area.dispatchEvent(new Event("input"));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - start);
  }
  return times;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=80)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--typed", type=int, default=200, help="characters that are typed one after another")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    letters = [chr(48 + k) for k in range(options.vocabulary)]
    text = "".join(rng.choice(letters, 4000)) + "".join(letters)
    model = LanguageModel(hidden_size=options.hidden, updates=2, batch_size=2, steps=16, validation=0.0).fit(text)
    read = "".join(rng.choice(letters, options.steps))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        path = Path(folder, "page.html")
        started = time.perf_counter()
        html.page(model, read, path=path)
        made = time.perf_counter() - started
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        seen = []
        for _ in range(5):
            tab = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
            started = time.perf_counter()
            tab.goto(path.as_uri())
            tab.evaluate(READY)
            seen.append(time.perf_counter() - started)
        frames = np.array(tab.evaluate(FRAMES))
        typing = np.array(tab.evaluate(f"{TYPING}({read[: options.typed]!r})"))
        script, style = html.code()
        sizes = f"{options.hidden} units, {options.vocabulary} characters, {options.steps} steps"
        print(f"Chromium {browser.version}, {platform.machine()}; {sizes}")
        print(f"file                {path.stat().st_size / 1e6:8.2f} MB         (target: under 2)")
        code, packed = len(script.encode()) + len(style.encode()), sum(map(len, html.packed_code()))
        print(
            f"code of our own     {packed / 1024:8.1f} KB         (target: 60; {code / 1024:.1f} before it is deflated)"
        )
        print(f"made in             {made:8.2f} s")
        print(
            f"first view after    {np.median(seen):8.2f} s          (target: under 1; median of {len(seen)} new pages)"
        )
        print(f"through time        {1000 / np.median(frames):8.1f} frames/s   (target: 30)")
        print(f"  slowest tenth     {1000 / np.quantile(frames, 0.9):8.1f} frames/s")
        print(f"typing answered in  {np.median(typing):8.1f} ms         (target: under 100; {len(typing)} characters)")
        print(f"  slowest           {typing.max():8.1f} ms")
        browser.close()


if __name__ == "__main__":
    main()
