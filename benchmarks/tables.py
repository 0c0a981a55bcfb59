"""Tables as text, and whether what is asked for holds. Imports nothing, so that run.py stays small."""

#: A goal: the least that is asked for, and what was measured or None.
Goals = dict[str, tuple[float, float | None]]
_SHOWN = {
    "ratio": "{:.2g}x", "share": "{:.0%}", "scaling": "{:.2g}x 1 thread", "growth": "growth", "highest": "highest",
    "size": "under 1 MB", "bits": "bits",
}  # fmt: skip


def asked(goals: Goals) -> str:
    """Return what is asked for in a cell as text."""
    return ", ".join(_SHOWN[name].format(least) for name, (least, _) in goals.items())


def verdict(goals: Goals) -> str:
    """Return whether every goal of a cell holds: yes or NO; nothing where none is set, ? where one was not measured."""
    values = list(goals.values())
    if any(got is not None and got < least for least, got in values):
        return "NO"
    return "" if not values else "?" if any(got is None for _, got in values) else "yes"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return rows as Markdown that also reads well in a terminal; the first column to the left, others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [v.ljust(w) if k == 0 else v.rjust(w) for k, (v, w) in enumerate(zip(row, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 2) if k == 0 else "-" * (w + 1) + ":" for k, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
