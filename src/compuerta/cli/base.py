"""What every command is made of: options and help in the language, and numbers with a range.

It is a thin layer over click, which does the parsing and the shell completion; every word that a person reads comes
from the catalogues of :mod:`compuerta.texts` in the language of :class:`Texts`. NumPy is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import Phrase
from ..texts import LANGUAGES, catalogue, language, say
from .output import clean, out

# ---- language -------------------------------------------------------------------------------------------------------


def language_of(args: Sequence[str]) -> str:
    """Return the language to speak: the last ``--lang`` in ``args``, else that of the environment.

    It is read before anything is parsed, because help and parsing errors are printed in it.

    >>> language_of(["train", "--lang", "es"]), language_of(["--lang=en", "demo"])
    ('es', 'en')
    """
    choice = None
    words = [*args, "--"]
    words = words[: words.index("--") + 1]
    for word, after in pairwise(words):
        if word == "--lang" and after in LANGUAGES:
            choice = after
        elif word.startswith("--lang=") and word[7:] in LANGUAGES:
            choice = word[7:]
    return language(choice)


@dataclass(frozen=True)
class Texts:
    """The catalogue in one language: ``t("cli.interrupted")``.

    >>> Texts("es")("gate.f.name")
    'compuerta de olvido'
    """

    lang: str

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of ``key`` with its fields filled in."""
        return say(key, self.lang, **values)

    def tell(self, phrase: Phrase) -> str:
        """Return a phrase in the language, with what came from files or arguments made safe to print.

        >>> Texts("en").tell(Phrase("cli.error", sentence="a\\x1b[31m b"))
        'Error: a b'
        """
        values = {
            name: self.tell(value) if isinstance(value, Phrase) else clean(value) if isinstance(value, str) else value
            for name, value in phrase.values.items()
        }
        return Phrase(phrase.key, **values).text(self.lang)

    def has(self, key: str) -> bool:
        """Return whether the catalogue has ``key``."""
        return key in catalogue(self.lang)


# ---- types of options -----------------------------------------------------------------------------------------------


class Refused(click.BadParameter):
    """A usage error (exit 2), given by a key of the catalogue; the field ``{name}`` is the option's name."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


class IntRange(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic since click 8.3
    """A whole number from ``low`` to ``high``, both included; ``1e3`` is read as 1000."""

    name = "integer"
    metavar = "N"
    kind = "integer"

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self.low, self.high = low, high

    def parse(self, value: object) -> float:
        """Return the number that ``value`` writes, or raise ``ValueError``."""
        try:
            return int(str(value))
        except ValueError:
            number = float(str(value))
            if not number.is_integer():  # inf and nan are no integers either
                raise
            return int(number)

    def inside(self, number: float) -> bool:
        """Return whether ``number`` lies in the range."""
        return (self.low is None or self.low <= number) and (self.high is None or number <= self.high)

    def described(self, t: Texts) -> str:
        """Return the range in words, such as "1 to 64"; empty where there is none."""
        key = {(True, True): "from_to", (True, False): "from", (False, True): "to"}.get(
            (self.low is not None, self.high is not None)
        )
        return t(f"cli.range.{key}", low=_number(self.low), high=_number(self.high)) if key else ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number or raise :class:`Refused`."""
        try:
            number = self.parse(value)
            if math.isfinite(number) and self.inside(number):
                return number
        except (ValueError, OverflowError):
            pass
        raise Refused("cli.error.number", type=self, got=value)


class FloatRange(IntRange):
    """A finite number from ``low`` to ``high``; ``open_low`` and ``open_high`` leave the ends out."""

    name = "float"
    metavar = "X"
    kind = "number"

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        *,
        open_low: bool = False,
        open_high: bool = False,
    ) -> None:
        super().__init__(low, high)
        self.open_low, self.open_high = open_low, open_high

    def parse(self, value: object) -> float:
        """Return the number that ``value`` writes, or raise ``ValueError``."""
        return float(str(value))

    def inside(self, number: float) -> bool:
        """Return whether ``number`` lies in the range."""
        at_open_end = (self.open_low and number == self.low) or (self.open_high and number == self.high)
        return super().inside(number) and not at_open_end

    def described(self, t: Texts) -> str:
        """Return the range in words, such as "above 0, up to 1"."""
        low = t("cli.range.above" if self.open_low else "cli.range.from", low=_number(self.low))
        high = t("cli.range.below" if self.open_high else "cli.range.to", high=_number(self.high))
        if self.low is not None and self.high is not None and not (self.open_low or self.open_high):
            return super().described(t)
        return ", ".join(end for end, bound in ((low, self.low), (high, self.high)) if bound is not None)


class Choice(click.Choice):  # type: ignore[type-arg, unused-ignore]  # generic since click 8.2
    """One of a few words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word or raise :class:`Refused` with the nearest."""
        if value in self.choices:
            return value
        raise Refused("cli.error.choice", known=list(self.choices), got=value)


#: The path of a file, as a ``pathlib.Path``. Whether it exists is checked by opening it: an OSError has a good message.
FILE = click.Path(path_type=Path, readable=False)


def _number(value: float | None) -> str:
    """Write a bound as people do: 1000000, 0.5."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


# ---- options, arguments, commands -----------------------------------------------------------------------------------


class _Option(click.Option):
    """An option whose help is formatted here, so that its notes are in the language."""

    def record(self, t: Texts) -> tuple[str, str]:
        names = ", ".join(self.opts)
        notes = []
        if not self.is_flag:
            names += f" {self.metavar}"
            default = self.default
            if self.required:
                notes.append(t("cli.note.required"))
            elif isinstance(default, int | float | str) and not isinstance(default, bool) and default != "":
                notes.append(t("cli.note.default", value=f"{default:g}" if isinstance(default, float) else default))
            if isinstance(self.type, IntRange) and (range_ := self.type.described(t)):
                notes.append(range_)
        return names, (self.help or "") + (f"  [{'; '.join(notes)}]" if notes else "")


class _Argument(click.Argument):
    """An argument with a help text."""

    help: str | None = None  # click's own since 8.5

    def record(self, t: Texts) -> tuple[str, str]:
        return self.metavar or "", self.help or ""


def option(*names: str, type: click.ParamType[Any] | None = None, default: Any = None, **more: Any) -> click.Option:
    """Return an option; its help is the catalogue's ``cli.<command>.<parameter>`` or ``cli.option.<parameter>``.

    Args:
        names: ``"--hidden-size"`` or ``"-o", "--output"``.
        type: :class:`IntRange`, :class:`FloatRange`, :class:`Choice`, :data:`FILE`; text if not given.
        default: the value where the option is not given; it is shown in the help.
        more: what click's ``Option`` takes: ``required=True``, ``multiple=True``.
    """
    return _Option(names, type=type or click.STRING, default=default, **more)


def flag(*names: str) -> click.Option:
    """Return an option without a value: ``flag("--json")``."""
    return _Option(names, is_flag=True, default=False)


def argument(name: str, type: click.ParamType[Any] | None = None, **more: Any) -> click.Argument:
    """Return an argument, shown as the catalogue's ``cli.metavar.<name>``; ``required=False``: it may be left out."""
    return _Argument([name], type=type or click.STRING, **more)


def command(t: Texts, name: str, *params: click.Parameter) -> Callable[[Callable[..., None]], click.Command]:
    """Make a function into the command ``name`` with these options and arguments, in the language of ``t``."""

    def make(function: Callable[..., None]) -> click.Command:
        return _Command(t, name, params, callback=function)

    return make


class _Spoken(click.Command):
    """A command that writes its help and refuses what it cannot read in the language of its ``t``."""

    allow_extra_args = True  # parse_args below reports them, in the language
    t: Texts

    def furnish(self, t: Texts, prefix: str, params: Iterable[click.Parameter]) -> None:
        """Take the parameters, ``--lang`` and ``--help``, each with its words."""
        self.t = t
        own = list(params)
        self.params = [*own, _lang_option(), _help_option()]
        for param in self.params:
            assert isinstance(param, _Option | _Argument)
            key = f"{prefix}.{param.name}"
            param.help = t(key if param in own and t.has(key) else f"cli.option.{param.name}")
            called = f"cli.metavar.{param.name}"
            if isinstance(param, _Argument) and t.has(called):
                param.metavar = t(called)
            elif isinstance(param.type, Choice):
                param.metavar = "|".join(param.type.choices)
            elif isinstance(param.type, click.Path):
                param.metavar = t("cli.metavar.file")
            elif not (isinstance(param, _Option) and param.is_flag):
                param.metavar = getattr(param.type, "metavar", None) or t("cli.metavar.text")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; what is left over is refused by a command, and is the command's name for a group."""
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # the parser leaves it out here and there
            raise
        if rest and not isinstance(self, click.Group) and not ctx.resilient_parsing:
            raise _at(ctx, Refused("cli.error.extra", got=rest[0]))
        return rest

    def usage(self) -> str:
        """Return what follows the command's name in its line of use."""
        needed = [f"{p.opts[-1]} {p.metavar}" for p in self.params if isinstance(p, _Option) and p.required]
        places = [p.metavar or "" for p in self.params if isinstance(p, _Argument) and p.required]
        free = [f"[{p.metavar}]" for p in self.params if isinstance(p, _Argument) and not p.required]
        return " ".join([*places, *free, *needed, self.t("cli.metavar.options")])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help: use, what it does, commands or arguments, options, examples."""
        t = self.t
        formatter.write_usage(ctx.command_path, self.usage(), prefix=t("cli.usage") + " ")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(self.help or "")
        self.format_more(formatter)
        for heading, kind in (("cli.arguments", _Argument), ("cli.options", _Option)):
            records = [p.record(t) for p in self.params if isinstance(p, kind)]
            if records:
                with formatter.section(t(heading)):
                    formatter.write_dl(records)
        if self.epilog:
            with formatter.section(t(f"{self.epilog}.title")):
                write_lines(formatter, t(self.epilog))

    def format_more(self, formatter: click.HelpFormatter) -> None:
        """Write the commands of a group, before the options."""


class _Command(_Spoken):
    def __init__(
        self, t: Texts, name: str, params: Iterable[click.Parameter], callback: Callable[..., None] | None
    ) -> None:
        super().__init__(
            name,
            callback=callback,
            add_help_option=False,
            help=t(f"cli.{name}.help"),
            short_help=t(f"cli.{name}.short"),
        )
        self.furnish(t, f"cli.{name}", params)

    def format_more(self, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        examples = f"cli.{self.name}.examples"
        if self.t.has(examples):
            with formatter.section(self.t("cli.examples")):
                write_lines(formatter, self.t(examples))


class Group(_Spoken, click.Group):
    """The command ``compuerta`` in one language; its commands are made when they are called.

    Args:
        t: the language.
        names: the commands in the order of the help.
        load: makes the command of a name.
    """

    def __init__(self, t: Texts, names: Sequence[str], load: Callable[[str, Texts], click.Command]) -> None:
        click.Group.__init__(
            self,
            "compuerta",
            add_help_option=False,
            invoke_without_command=True,
            callback=_help_alone,
            help=t("cli.help"),
            epilog="cli.completion",
        )
        self.names = names
        self.load = load
        self.furnish(t, "cli.option", [_version_option()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, made now."""
        return self.load(cmd_name, self.t) if cmd_name in self.names else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is refused with the nearest."""
        if args[0] not in self.names and not ctx.resilient_parsing:
            raise _at(ctx, Refused("cli.error.command", known=list(self.names), got=args[0]))
        return super().resolve_command(ctx, args)

    def usage(self) -> str:
        """Return what follows ``compuerta``."""
        return self.t("cli.metavar.command")

    def format_more(self, formatter: click.HelpFormatter) -> None:
        """Write where to start and the list of commands; their modules are not imported for it."""
        with formatter.section(self.t("cli.start.title")):
            write_lines(formatter, self.t("cli.start"))
        with formatter.section(self.t("cli.commands")):
            formatter.write_dl([(name, self.t(f"cli.{name}.short")) for name in self.names])


def write_lines(formatter: click.HelpFormatter, text: str) -> None:
    """Write lines unchanged, indented."""
    for line in text.split("\n"):
        formatter.write(f"{'':>{formatter.current_indent}}{line}".rstrip() + "\n")


def _lang_option() -> click.Option:
    return _Option(["--lang"], type=Choice(LANGUAGES), expose_value=False)  # language_of has read it already


def _help_option() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            out(ctx.get_help())
            ctx.exit()

    return _Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=show)


def _version_option() -> click.Option:
    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            out(f"compuerta {__version__}")
            ctx.exit()

    return _Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show)


def _help_alone() -> None:
    """``compuerta`` without anything more shows its help."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        out(ctx.get_help())


def _at(ctx: click.Context, error: Refused) -> Refused:
    error.ctx = ctx
    return error
