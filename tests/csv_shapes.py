"""A hundred shapes of CSV files, each with what it is read as, or with the sentence that refuses it.

A case is the text of the file (or its bytes), and what comes of it. ``Right`` has the values and, where there are
dates, the first of them as it is shown, the season, and the places that are missing; ``Refused`` has the key of the
sentence and what it must show: the line and the cell.
"""
# ruff: noqa: E501 - a file and what comes of it stand on one line

import datetime as dt
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Right:
    values: list[float]
    first: str | None = None
    period: int | None = None
    missing: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()  # keys of notes that must be among those given


@dataclass
class Refused:
    key: str
    shows: tuple[str, ...] = ()


def table(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


def daily(values, form="%d/%m/%Y", mark=";", start=dt.date(2021, 1, 1)):
    """Rows of days one after another; what is None has no row."""
    days = [(start + dt.timedelta(days=k), value) for k, value in enumerate(values)]
    return [f"{day.strftime(form)}{mark}{value}" for day, value in days if value is not None]


def hourly(values, start=dt.datetime(2021, 10, 30, 22), form="%Y-%m-%d %H:%M", mark=","):
    return [f"{(start + dt.timedelta(hours=k)).strftime(form)}{mark}{value}" for k, value in enumerate(values)]


SALES = [880.0, 917.0, 991.0, 1028.0, 1065.0]
SPANISH = ["880", "917", "991", "1.028", "1.065"]
DAY, WEEK = "2021-01-01", 7
A = Any

#: name: (text, options of read_series, what comes of it)
CASES: dict[str, tuple[str | bytes, dict[str, A], Right | Refused]] = {
    # ---- the marks of numbers -----------------------------------------------------------------------------------
    "Spanish thousands": (table("fecha;ventas", *daily(SPANISH)), {}, Right(SALES, DAY, WEEK)),
    "Spanish thousands, ISO dates": (table("fecha;ventas", *daily(SPANISH, "%Y-%m-%d")), {}, Right(SALES, DAY, WEEK)),
    "Spanish thousands, all of them": (
        table("fecha;ventas", *daily(["1.880", "1.917", "1.991", "1.028", "1.065"], start=dt.date(2021, 1, 28))), {},
        Right([1880, 1917, 1991, 1028, 1065], "2021-01-28", WEEK),
    ),
    "thousands or decimals, ISO dates": (
        table("fecha;x", *daily(["1.880", "1.917", "1.991"], "%Y-%m-%d")), {},
        Refused("error.csv.open", ("2", "'1.880'", "--decimal .", "--thousands .")),
    ),
    "the same, decimal": (
        table("fecha;x", *daily(["1.880", "1.917", "1.991"], "%Y-%m-%d")), {"decimal": "."},
        Right([1.88, 1.917, 1.991], DAY, WEEK),
    ),
    "the same, thousands": (
        table("fecha;x", *daily(["1.880", "1.917", "1.991"], "%Y-%m-%d")), {"thousands": "."},
        Right([1880, 1917, 1991], DAY, WEEK),
    ),
    "thousands of blanks, so decimals": (
        table("x", "1.880", "1.917"), {"thousands": " "}, Right([1.88, 1.917]),
    ),
    "three decimals in English": (
        table("date,x", *daily(["1.880", "1.917", "0.991"], "%Y-%m-%d", ",")), {}, Right([1.88, 1.917, 0.991], DAY, WEEK),
    ),
    "three decimals, comma between cells": (
        table("date,x", *daily(["1.880", "1.917", "1.991"], "%Y-%m-%d", ",")), {}, Right([1.88, 1.917, 1.991], DAY, WEEK),
    ),
    "Spanish thousands, comma between cells": (
        table("date,x", *daily(SPANISH, "%Y-%m-%d", ",")), {}, Refused("error.csv.open", ("5", "'1.028'")),
    ),
    "a column alone": (table("x", "1.880", "1.917"), {}, Refused("error.csv.open", ("2", "'1.880'"))),
    "a column alone, without header": ("0.880\n1.917\n", {}, Right([0.88, 1.917])),
    "decimal commas": (table("fecha;x", *daily(["1,5", "12,25"])), {}, Right([1.5, 12.25], DAY, WEEK)),
    "decimal commas of three figures": (
        table("fecha;x", *daily(["1,500", "2,250"])), {}, Right([1.5, 2.25], DAY, WEEK),
    ),
    "commas that may be thousands": (
        table("fecha;x", *daily(["880", "917", "1,028"])), {}, Refused("error.csv.open", ("4", "'1,028'")),
    ),
    "both marks": (table("fecha;x", *daily(["1.234,5", "1.028"])), {}, Right([1234.5, 1028], DAY, WEEK)),
    "both marks in English": (
        table("date,x", '2021-01-01,"1,234.5"', '2021-01-02,"1,028"'), {}, Right([1234.5, 1028], DAY, WEEK),
    ),
    "English thousands in quotes": (
        table("date,x", '1/14/2021,"1,234"', '1/15/2021,"1,028"'), {}, Right([1234, 1028], "2021-01-14", WEEK),
    ),
    "quoted commas, nothing else": (
        table("date,x", '2021-01-01,"1,234"', '2021-01-02,"1,028"'), {}, Refused("error.csv.open", ("2", "'1,234'")),
    ),
    "millions": (table("fecha;x", *daily(["1.000.000", "999.000"])), {}, Right([1e6, 999_000], DAY, WEEK)),
    "blanks that do not break": (table("x", "1\u00a0028", "1\u202f065", "880"), {}, Right([1028, 1065, 880])),
    "Swiss thousands": (table("x", "1'028.5", "1\u2019065", "880"), {}, Right([1028.5, 1065, 880])),
    "another column proves the comma": (
        table("fecha;precio;ventas", "2021-01-01;1,5;1.880", "2021-01-02;2,5;1.917"), {"column": "ventas"},
        Right([1880, 1917], DAY, WEEK),
    ),
    "marks that contradict": (table("x", "5", "5,5", "6.5"), {}, Refused("error.csv.number", ("3", "'5,5'"))),
    "exponents and minus signs": (table("x", "1e3", "\u22122.5", "+3"), {}, Right([1000, -2.5, 3])),
    # ---- units --------------------------------------------------------------------------------------------------
    "euros": (table("fecha;x", *daily(["1.234,50 \u20ac", "12,00 \u20ac"])), {}, Right([1234.5, 12], DAY, WEEK)),
    "euros before": (table("fecha;x", *daily(["\u20ac 1.234,50", "\u20ac12,00"])), {}, Right([1234.5, 12], DAY, WEEK)),
    "dollars": (table("date,x", '2021-01-01,"$1,234.50"', "2021-01-02,-$12"), {}, Right([1234.5, -12], DAY, WEEK)),
    "accountants' negatives": (table("x", "(1,234.5)", "12.5"), {}, Right([-1234.5, 12.5])),
    "EUR": (table("x", "12 EUR", "13 eur"), {}, Right([12, 13])),
    "percent": (
        table("fecha;x", *daily(["12,5 %", "13 %", "9,75%"])), {},
        Right([12.5, 13, 9.75], DAY, WEEK, notes=("input.read_as_percent",)),
    ),
    "percent in some": (table("fecha;x", *daily(["12,5 %", "0,13", "9,75%"])), {}, Refused("error.csv.unit", ("3", "%"))),
    "two currencies": (table("x", "12 \u20ac", "13 $", "14 \u20ac"), {}, Refused("error.csv.unit", ("3", "'13 $'"))),
    # ---- what stands around the table ---------------------------------------------------------------------------
    "sep=": ("sep=;\nfecha;x\n01/01/2021;1,5\n02/01/2021;2\n", {}, Right([1.5, 2], DAY, WEEK)),
    "sep=,": ("sep=,\nx,y\n1,a\n5,b\n", {}, Right([1, 5])),
    "a title": (
        "Ventas de la tienda\nfecha;x\n01/01/2021;1,5\n02/01/2021;2\n", {}, Right([1.5, 2], DAY, WEEK, notes=("input.title",)),
    ),
    "a title and a blank line": (
        "Ventas de la tienda\n\nfecha;x\n01/01/2021;1,5\n02/01/2021;2\n", {}, Right([1.5, 2], DAY, WEEK, notes=("input.title",)),
    ),
    "a title of Excel": (
        "Ventas;;\n;;\nfecha;x;y\n01/01/2021;1,5;a\n02/01/2021;2;b\n", {},
        Right([1.5, 2], DAY, WEEK, notes=("input.title", "input.unused")),
    ),
    "a byte order mark": ("\ufefffecha;x\n01/01/2021;1,5\n02/01/2021;2\n", {}, Right([1.5, 2], DAY, WEEK)),
    "UTF-16 of Excel": (
        "fecha\tx\r\n01/01/2021\t1,5\r\n02/01/2021\t2\r\n".encode("utf-16"), {}, Right([1.5, 2], DAY, WEEK),
    ),
    "Windows-1252": (
        "Fecha;Ventas (\u20ac)\n01/01/2021;1,5\n02/01/2021;2\n".encode("cp1252"), {},
        Right([1.5, 2], DAY, WEEK, notes=("input.encoding",)),
    ),
    "an encoding by name": (
        "Fecha;\u00bfCu\u00e1ntos?\n01/01/2021;1,5\n02/01/2021;2\n".encode("cp850"), {"encoding": "cp850"},
        Right([1.5, 2], DAY, WEEK),
    ),
    "old line ends": ("x\r1\r5\r", {}, Right([1, 5])),
    "no header": ("2021-01-01,5\n2021-01-02,7\n", {}, Right([5, 7], DAY, WEEK)),
    "blank lines at the end": ("x\n1\n5\n\n \n", {}, Right([1, 5])),
    "a total below": (
        table("fecha;x", *daily(["1", "5", "2"]), "Total;8"), {}, Refused("error.csv.date", ("5", "'Total'")),
    ),
    "a row too long": ("x,y\n1,2\n1,2,3\n", {}, Refused("error.csv.ragged", ("3",))),
    "quotes that do not match": ('d,x\n2021-01-01,"1\n', {}, Refused("error.csv.malformed", ("2",))),
    "tabs": ("d\tx\n2021-01-01\t1,5\n2021-01-02\t2\n", {}, Right([1.5, 2], DAY, WEEK)),
    "a header alone": ("fecha;x\n", {}, Refused("error.csv.no_rows")),
    "nothing": ("", {}, Refused("error.text.empty")),
    "zeros of a device": (b"\0" * 100, {}, Refused("error.text.nul", ("0",))),
    # ---- which column -------------------------------------------------------------------------------------------
    "two columns of numbers": (
        table("d,a,b", "2021-01-01,5,7", "2021-01-02,9,3"), {}, Refused("error.csv.several", ("1: 'a'", "2: 'b'", "--column a")),
    ),
    "one of two columns": (table("d,a,b", "2021-01-01,5,7", "2021-01-02,9,3"), {"column": "b"}, Right([7, 3], DAY, WEEK)),
    "2,180 columns": (
        table(",".join(f"c{k}" for k in range(2180)), ",".join("9" * 2180), ",".join("4" * 2180)), {},
        Refused("error.csv.several", ("7: 'c7'", "2172")),
    ),
    "an unknown column of 2,180": (
        table(",".join(f"c{k}" for k in range(2180)), ",".join("9" * 2180)), {"column": "z"},
        Refused("error.csv.column", ("'z'", "7: 'c7'", "2172")),
    ),
    "no numbers": (table("a,b", "one,two", "three,four"), {}, Refused("error.csv.no_numbers", ("0: 'a'",))),
    "an empty column beside": (table("x;nota", "1,5;", "2;"), {}, Right([1.5, 2], notes=("input.unused",))),
    "the index of pandas": (table(",x", "0,5", "1,9", "2,7"), {}, Right([5, 9, 7])),
    "words beside": (table("nombre,x", "Ana,5", "Luis,9"), {}, Right([5, 9], notes=("input.unused",))),
    # ---- dates --------------------------------------------------------------------------------------------------
    "day first": (table("f;x", *daily([1, 5, 2], start=dt.date(2021, 1, 30))), {}, Right([1, 5, 2], "2021-01-30", WEEK)),
    "month first": (table("f,x", "1/30/2021,1", "1/31/2021,5"), {}, Right([1, 5], "2021-01-30", WEEK)),
    "ISO weeks": (table("w,x", "2020-W52,1", "2020-W53,5", "2021-W01,2"), {}, Right([1, 5, 2], "2020-W52", 52)),
    "Spanish weeks": (table("w;x", "2020-S52;1", "2020-S53;5", "2021-S01;2"), {}, Right([1, 5, 2], "2020-W52", 52)),
    "a week that is none": (
        table("w,x", "2021-W51,1", "2021-W52,5", "2021-W53,2"), {}, Refused("error.csv.date", ("4", "'2021-W53'")),
    ),
    "quarters": (table("t;x", "2020-T3;1", "2020-T4;5", "2021-T1;2"), {}, Right([1, 5, 2], "2020-07", 4)),
    "quarters, year last": (table("t;x", "T3 2020;1", "T4 2020;5", "T1 2021;2"), {}, Right([1, 5, 2], "2020-07", 4)),
    "quarters, 3T2020": (table("t;x", "3T2020;1", "4T2020;5", "1T2021;2"), {}, Right([1, 5, 2], "2020-07", 4)),
    "seconds since 1970": (
        table("time,x", "1577836800,1", "1577840400,5", "1577844000,2"), {}, Right([1, 5, 2], "2020-01-01T00:00:00+00:00", 24),
    ),
    "thousandths of seconds": (
        table("ts,x", "1577836800000,1", "1577923200000,5", "1578009600000,2"), {}, Right([1, 5, 2], "2020-01-01", WEEK),
    ),
    "days of Excel": (table("fecha,x", "43831,1", "43832,5", "43833,2"), {}, Right([1, 5, 2], "2020-01-01", WEEK)),
    "days of Excel, uneven": (
        table("fecha,x", "43831,1", "43832,5", "43835,2", "43837,4"), {}, Refused("error.csv.unread_dates", ("2", "'43831'")),
    ),
    "20210131": (table("f,x", "20210131,1", "20210201,5", "20210202,2"), {}, Right([1, 5, 2], "2021-01-31", WEEK)),
    "202101": (table("mes,x", "202012,1", "202101,5", "202102,2"), {}, Right([1, 5, 2], "2020-12", 12)),
    "years": (table("year,x", "1999,1", "2000,5", "2001,2"), {}, Right([1, 5, 2], "1999", 1)),
    "months in words": (table("mes;x", "ene-20;1", "feb-20;5", "mar-20;2"), {}, Right([1, 5, 2], "2020-01", 12)),
    "1 de enero de 2021": (table("d;x", "1 de enero de 2021;1", "2 de enero de 2021;5"), {}, Right([1, 5], DAY, WEEK)),
    "months without a year": (
        table("mes;x", "Enero;1", "Febrero;5", "Marzo;2"), {}, Refused("error.csv.unread_dates", ("2", "'mes'", "'Enero'")),
    ),
    "dates nobody can read": (
        table("cuando;x", "3\u00aa semana;1", "4\u00aa semana;5"), {}, Refused("error.csv.unread_dates", ("2", "3\u00aa semana")),
    ),
    "one date nobody can read": (
        table("d,x", "2021-01-01,1", "2021-02-30,5", "2021-01-03,2"), {}, Refused("error.csv.date", ("3", "'2021-02-30'")),
    ),
    "hours in a column of their own": (
        table("fecha;hora;x", "01/01/2021;00:00;1", "01/01/2021;01:00;5"), {}, Right([1, 5], "2021-01-01T00:00:00", 24),
    ),
    "hours from 1 to 24": (
        table("fecha;hora;x", *(f"01/01/2021;{h};{h % 5}" for h in range(1, 25)), "02/01/2021;1;7"), {},
        Right([h % 5 for h in range(1, 25)] + [7], "2021-01-01T00:00:00", 24),
    ),
    "afternoon": (
        table("d,x", "1/31/2021 11:00 AM,1", "1/31/2021 12:00 PM,5", "1/31/2021 1:00 PM,2"), {},
        Right([1, 5, 2], "2021-01-31T11:00:00", 24),
    ),
    "24:00": (
        table("d;x", "31/01/2021 23:00;1", "31/01/2021 24:00;5", "01/02/2021 1:00;2"), {},
        Right([1, 5, 2], "2021-01-31T23:00:00", 24),
    ),
    "the hour that comes twice": (
        table("t,x", *hourly([1, 5, 2, 7, 3]), "2021-10-31 02:00,9", "2021-10-31 03:00,4"), {},
        Refused("error.csv.autumn", ("7", "6", "'2021-10-31 02:00'", "02:00+01:00")),
    ),
    "the hour that comes twice, with its distance": (
        table("t,x", "2021-10-31 01:00+02:00,1", "2021-10-31 02:00+02:00,5", "2021-10-31 02:00+01:00,2",
              "2021-10-31 03:00+01:00,4"), {}, Right([1, 5, 2, 4], "2021-10-31T01:00:00+02:00", 24),
    ),
    "a date twice": (
        table("d,x", "2021-01-01,1", "2021-01-02,5", "2021-01-01,2"), {}, Refused("error.csv.twice", ("4", "2021-01-01")),
    ),
    "unsorted": (
        table("d,x", "2021-01-03,1", "2021-01-01,5", "2021-01-02,2"), {}, Right([5, 2, 1], DAY, WEEK, notes=("input.sorted",)),
    ),
    "newest first": (table("d,x", "2021-01-03,1", "2021-01-02,5", "2021-01-01,2"), {}, Right([2, 5, 1], DAY, WEEK)),
    "no step": (
        table("d,x", "2021-01-01,1", "2021-01-05,5", "2021-02-17,2", "2021-02-19,3"), {},
        Right([1, 5, 2, 3], DAY, None, notes=("input.irregular",)),
    ),
    "six days a week": (
        table("d;x", *daily([k if (k + 4) % 7 != 6 else None for k in range(30)])), {},
        Right([k for k in range(30) if (k + 4) % 7 != 6], DAY, 6),
    ),
    # ---- what is missing ----------------------------------------------------------------------------------------
    "a day without a row": (
        table("d;x", *daily([1, 2, 3, None, 5, 6])), {}, Right([1, 2, 3, 4, 5, 6], DAY, WEEK, [3], ("input.masked",)),
    ),
    "an empty cell": (table("d;x", *daily([1, 2, "", 4])), {}, Right([1, 2, 3, 4], DAY, WEEK, [2], ("input.masked",))),
    "an empty cell, filled": (
        table("d;x", *daily([1, 2, "", 4])), {"missing": "fill"}, Right([1, 2, 3, 4], DAY, WEEK, [], ("input.filled",)),
    ),
    "an empty cell, refused": (
        table("d;x", *daily([1, 2, "", 4])), {"missing": "refuse"}, Refused("error.csv.missing", ("4", "''")),
    ),
    "a day without a row, refused": (
        table("d;x", *daily([1, 2, None, 4])), {"missing": "refuse"}, Refused("error.series.missing", ("2021-01-03",)),
    ),
    "n/d": (table("d;x", *daily(["1,5", "n/d", "2,5"])), {}, Right([1.5, 2, 2.5], DAY, WEEK, [1])),
    "a season tells": (
        table("d;x", *daily([10 * (k % 7) if k != 24 else None for k in range(28)])), {},
        Right([10 * (k % 7) for k in range(28)], DAY, WEEK, [24]),
    ),
    "days to come": (
        table("d;x", *daily([1, 5, "", ""])), {}, Right([1, 5], DAY, WEEK, [], ("input.trimmed",)),
    ),
    "a counter with a gap": (
        table("t,x", *(f"{k},{k * k % 7}" for k in range(1, 30) if k != 9)), {},
        Right([k * k % 7 for k in range(1, 30)], missing=[8]),
    ),
    "almost nothing": (
        table("t,x", *hourly([1] * 7), *hourly([1] * 7, dt.datetime(2022, 10, 30))), {},
        Refused("error.series.mostly_missing", ("14",)),
    ),
    "one value": (table("d,x", "2021-01-01,1", "2021-01-02,"), {}, Refused("error.csv.too_few", ("1",))),
    "infinite": (table("x", "1", "-inf", "3"), {}, Refused("error.csv.infinite", ("3", "'-inf'"))),
    "a word among numbers": (table("x", "1", "dos", "3", "4"), {}, Refused("error.csv.number", ("3", "'dos'"))),
    "constant": (table("x", "5", "5", "5"), {}, Right([5, 5, 5])),
    # ---- several series -----------------------------------------------------------------------------------------
    "two series, whole numbers for time": (
        table("id,t,x", "A,1,5", "A,2,6", "A,3,2", "B,1,50", "B,2,10", "B,3,70"), {"column": "x"},
        Refused("error.csv.ids", ("'id'", "'A'", "--id A")),
    ),
    "one of two series": (
        table("id,t,x", "A,1,5", "A,2,6", "A,3,2", "B,1,50", "B,2,10", "B,3,70"), {"id": "B"}, Right([50, 10, 70]),
    ),
    "shops and dates": (
        table("date,store,x", "2021-01-01,1,5", "2021-01-01,2,6", "2021-01-02,1,7", "2021-01-02,2,50"), {},
        Refused("error.csv.ids", ("'store'",)),
    ),
    "one of the shops": (
        table("date,store,x", "2021-01-01,1,5", "2021-01-01,2,6", "2021-01-02,1,7", "2021-01-02,2,50"), {"id": "store=2"},
        Right([6, 50], DAY, WEEK),
    ),
    "a series that is not there": (
        table("id,t,x", "A,1,5", "A,2,6", "B,1,50", "B,2,10"), {"id": "C"}, Refused("error.csv.no_id", ("'C'", "0: 'id'")),
    ),
}  # fmt: skip
