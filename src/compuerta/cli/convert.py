"""``compuerta convert``: a model from one framework's file into another's, with proof that both compute the same."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import FileFormatError, Phrase, SettingError
from ..texts import grouped
from .base import FILE, FloatRange, IntRange, Refused, Texts, argument, command, flag, option
from .output import clean, log, out, out_json

if TYPE_CHECKING:
    from ..interop.formats import Format, Model
    from ..interop.verify import Check


def make(t: Texts) -> click.Command:
    """Return the command ``convert``."""

    @command(
        t,
        "convert",
        argument("source", FILE),
        argument("target", FILE),
        option("--from", "source_format"),
        option("--to", "target_format"),
        option("--map"),
        option("--forget-bias", type=FloatRange(-1e6, 1e6)),
        option("--tolerance", type=FloatRange(0, open_low=True), default=2e-6),
        flag("--lengths"),
        flag("--probabilities"),
        flag("--no-verify"),
        option("--seed", type=IntRange(0, 2**32 - 1)),
        flag("--json"),
    )
    def convert(
        source: Path, target: Path, source_format: str | None, target_format: str | None, map: str | None,
        forget_bias: float | None, lengths: bool, probabilities: bool, tolerance: float, no_verify: bool,
        seed: int | None, json: bool,
    ) -> None:  # fmt: skip
        from .. import files
        from ..interop import formats

        format_names = list(formats.FORMATS)
        for name, format_name in (("--from", source_format), ("--to", target_format)):
            if format_name is not None and format_name not in format_names:
                raise Refused("cli.convert.format", option=name, known=format_names, got=format_name)
        to = formats.named(target_format) if target_format else formats.target(target)
        of = formats.named(source_format) if source_format else formats.find(source)
        if target.exists() and os.path.samefile(source, target):
            raise SettingError("error.interop.same_file", path=os.fspath(target))
        files.check_writable(target)
        notes: list[Phrase] = []
        options: dict[str, Any] = {
            "map": map, "forget_bias": forget_bias, "lengths": lengths or None, "probabilities": probabilities or None,
        }  # fmt: skip
        explicit = {name: value for name, value in options.items() if value is not None}
        takes = [formats.takes(of.adapter.read), formats.takes(to.adapter.write)]
        for name in explicit:
            if name not in takes[0] | takes[1]:
                raise Refused("cli.convert.foreign", option="--" + name.replace("_", "-"))
        reading, writing = ({k: v for k, v in explicit.items() if k in accepted} for accepted in takes)
        model = formats.read(source, of.name, note=notes.append, **reading)
        with tempfile.TemporaryDirectory(prefix=".compuerta-", dir=target.resolve().parent) as folder:
            temporary = Path(folder) / target.name  # loaders go by the name
            formats.write(model, temporary, to.name, note=notes.append, **writing)
            if not json:
                for note in dict.fromkeys(phrase.text(t.lang) for phrase in notes):
                    log(clean(note))
            if seed is None:
                seed = secrets.randbelow(2**32)
            report = [] if no_verify else _verify(t, model, (source, of, reading), (temporary, to, writing), seed, json)
            worst = max((check.difference for _, check in report if check), default=0.0)
            if json:
                out_json(_facts(model, (source, of), (target, to), notes, report, tolerance, seed, no_verify))
            if worst > tolerance:
                raise FileFormatError("error.interop.differs", path=os.fspath(target), got=f"{worst:.1e}",
                                      tolerance=f"{tolerance:g}")  # fmt: skip
            files.write_bytes(target, temporary.read_bytes())
        if not json:
            if no_verify:
                out(t("cli.convert.unverified"))
            elif any(side != "again" and check for side, check in report):
                out(t("cli.convert.verified", difference=f"{worst:.1e}", tolerance=f"{tolerance:g}", seed=seed))
            else:
                out(t("cli.convert.alone", difference=f"{worst:.1e}", seed=seed))
            count = grouped(_parameters(model), t.lang)
            out(t("cli.convert.done", target=clean(str(target)), format=to.title, parameters=count))

    return convert


_Side = tuple[Path, "Format", dict[str, Any]]
_Report = list[tuple[str, "Check | None"]]


def _verify(t: Texts, model: Model, source: _Side, target: _Side, seed: int, quiet: bool) -> _Report:
    """Compare our layers with the source, the target, and the target read back, and report each."""
    from ..interop import formats, verify
    from ..tasks.base import network_of

    layer = network_of(model)
    report: _Report = []
    if layer is None:  # more than one network: only a format for the whole task can verify it
        prove = getattr(target[1].adapter, "prove", None)
        proof = prove(os.fspath(target[0]), model) if prove else None
        if proof and not quiet:
            difference = f"{proof.difference:.1e}"
            out(t("cli.convert.ran.target", name=proof.against, runs=proof.runs, difference=difference))
        return [("target", proof)] if proof else []
    for side, (path, format, options), ours in (("source", source, False), ("target", target, True)):
        if format.name == "compuerta":
            continue
        extra = {name: value for name, value in options.items() if name in formats.takes(format.adapter.runner)}
        runner = format.adapter.runner(os.fspath(path), **({"ours": ours} | (extra if not ours else {})))
        report.append((side, verify.compare(layer, runner, seed) if runner else None))
        if not quiet:
            check = report[-1][1]
            if check:
                difference = f"{check.difference:.1e}"
                out(t(f"cli.convert.ran.{side}", name=check.against, runs=check.runs, difference=difference))
            else:
                log(t(f"cli.convert.not_run.{side}", format=format.title))
    path, format, options = target
    again = {name: value for name, value in options.items() if name in formats.takes(format.adapter.read)}
    back = network_of(formats.read(path, format.name, **again))
    if back is not None:
        check = verify.compare(layer, verify.ourselves(back), seed)
        report.append(("again", check))
        if not quiet:
            out(t("cli.convert.ran.again", runs=check.runs, difference=f"{check.difference:.1e}"))
    return report


def _parameters(model: Any) -> int:
    from ..tasks.base import networks_of

    return sum(network.parameters.size for network in networks_of(model))


def _facts(
    model: Model, source: tuple[Path, Format], target: tuple[Path, Format], notes: list[Phrase],
    report: _Report, tolerance: float, seed: int, no_verify: bool,
) -> dict[str, Any]:  # fmt: skip
    checks = [
        {"side": side, "against": check.against, "runs": check.runs, "difference": check.difference} if check else
        {"side": side, "against": None} for side, check in report
    ]  # fmt: skip
    return {
        "source": source[0], "source_format": source[1].name, "target": target[0], "target_format": target[1].name,
        "parameters": _parameters(model), "notes": list(dict.fromkeys(str(note) for note in notes)),
        "verified": not no_verify and all(check is None or check.difference <= tolerance for _, check in report),
        "checks": checks, "tolerance": tolerance, "seed": seed,
    }  # fmt: skip
