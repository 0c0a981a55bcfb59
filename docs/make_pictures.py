"""Make the pictures of the READMEs and documents: the page and the terminal, light and dark, and a forecast.

    pip install ".[browser,plot,docs]"
    python docs/make_pictures.py            # writes docs/pictures/

They show the models that the README's own commands train, so whoever follows it sees what they show.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI, TerminalTheme
from rich.text import Text

OUT = Path(__file__).parent / "pictures"
COMMAND = [sys.executable, "-m", "compuerta"]
TEXTS = {"en": "two thousand two hundred twelve", "es": "dos mil doscientos doce"}
END = {"en": "", "es": "-es"}
LIGHT = TerminalTheme(
    (255, 255, 255), (31, 35, 40),
    [(31, 35, 40), (176, 34, 34), (26, 115, 60), (138, 98, 0), (9, 91, 165), (122, 55, 150), (0, 112, 122),
     (110, 115, 120)],
)  # fmt: skip
DARK = TerminalTheme(
    (13, 17, 23), (220, 225, 230),
    [*DIMMED_MONOKAI.ansi_colors][:8] or None,
)  # fmt: skip
#: An SVG that takes the font of the reader's machine.
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{styles}
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
 font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width }}</style>
<defs>{lines}</defs><rect width="{width}" height="{height}" rx="8" fill="{background}"/>
<g transform="translate(18 14)"><g class="{unique_id}-matrix">{backgrounds}{matrix}</g></g></svg>
"""


def compuerta(lang: str, *words: str) -> None:
    """Run the command in the current folder."""
    quiet = subprocess.DEVNULL
    subprocess.run([*COMMAND, *words, "--lang", lang], check=True, stdout=quiet, stderr=quiet)


def on_a_terminal(lang: str, *words: str) -> str:
    """Return what the command writes on a terminal of 80 columns, with its colours."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "60", "TERM": "xterm-256color"}
    running = subprocess.Popen([*COMMAND, *words, "--lang", lang], stdout=child, stderr=child, env=environment)
    os.close(child)
    parts = []
    while True:
        try:
            part = os.read(parent, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    running.wait()
    return b"".join(parts).decode().replace("\r\n", "\n")


def draw_terminal(lang: str, name: str, *words: str, lines: int) -> None:
    """Draw the first lines of what a command writes, under the command itself, in both themes."""
    text = Text.from_ansi("$ compuerta " + " ".join(f'"{w}"' if " " in w else w for w in words) + "\n\n"
                          + "\n".join(on_a_terminal(lang, *words).splitlines()[:lines]))  # fmt: skip
    for theme, colours, background in (("light", LIGHT, "#f6f8fa"), ("dark", DARK, "#0d1117")):
        console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        console.print(text)
        svg = console.export_svg(theme=colours, code_format=SVG.replace("{background}", background), unique_id="t")
        (OUT / f"{name}{END[lang]}-{theme}.svg").write_text(svg, encoding="utf-8")


def photograph(lang: str, name: str, page: Path, *, size: tuple[int, int], at: str) -> None:
    """Take a picture of a page in both themes."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for theme in ("light", "dark"):
            tab = browser.new_page(color_scheme=theme, viewport={"width": size[0], "height": size[1]})
            tab.goto(page.resolve().as_uri() + at)
            tab.wait_for_timeout(2500)
            tab.screenshot(path=OUT / f"{name}{END[lang]}-{theme}.png")
            tab.close()
        browser.close()


def main() -> None:
    """Make all of them."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for lang, text in TEXTS.items():
            model = f"numbers-{lang}.safetensors"
            compuerta(lang, "demo", "-o", model)
            Path(model).rename("numbers.safetensors")
            compuerta(lang, "look", "numbers.safetensors", "--text", text, "-o", "gates.html")
            photograph(lang, "page", Path("gates.html"), size=(1180, 980), at="#t=17")
            draw_terminal(lang, "explain", "explain", lines=34)
            draw_terminal(lang, "look", "look", "numbers.safetensors", "--text", text, lines=12)


if __name__ == "__main__":
    main()
