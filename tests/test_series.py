"""Series from people's CSV files: the same values out of every way of writing them, and a line for every mistake."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta.data import Series, looks_like_series, read_series
from compuerta.data.dates import parse_dates
from compuerta.data.steps import Step, find_step
from compuerta.errors import DataError


@pytest.fixture
def write(tmp_path):
    def written(text, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def days(n, start=dt.date(2021, 1, 1), step=1):
    return [start + dt.timedelta(days=step * k) for k in range(n)]


VALUES = [1234.5, -3.25, 0.5, 1000.0]


@pytest.mark.parametrize(
    "text",
    [
        "day,x\n2021-01-01,1234.5\n2021-01-02,-3.25\n2021-01-03,.5\n2021-01-04,1e3\n",
        "\ufeffday,x\r\n2021-01-01,1234.5\r\n2021-01-02,-3.25\r\n2021-01-03,0.5\r\n2021-01-04,1000",
        '"day";"x"\n"2021-01-01";"1234,5"\n"2021-01-02";"-3,25"\n"2021-01-03";"0,5"\n"2021-01-04";"1000"\n',
        "day;x\n01/01/2021;1.234,5\n02/01/2021;-3,25\n03/01/2021;0,5\n04/01/2021;1.000\n",
        "day\tx\n2021/1/1\t1234,5\n2021/1/2\t-3,25\n2021/1/3\t0,5\n2021/1/4\t1000,0\n\n \n",
        'day,x\n2021-01-01,"1,234.5"\n2021-01-02,-3.25\n2021-01-03,0.5\n2021-01-04,"1,000"\n,\n',
        'day, x\n"Jan 1, 2021", 1234.5\n"Jan 2, 2021", −3.25\n"Jan 3, 2021", +0.5\n"Jan 4, 2021", 1000\n',
        "x,day,who\n1000,4.1.2021,a\n0.5,3.1.2021,b\n-3.25,2.1.2021,a\n1234.5,1.1.2021,b\n",
        ",day,x\n0,2021-01-01,1234.5\n1,2021-01-02,-3.25\n2,2021-01-03,0.5\n3,2021-01-04,1000\n",
        "\n\nx\n1234.5\n-3.25\n0.5\n1000\n\n\n",
    ],
)
def test_one_series_written_in_many_ways(write, text):
    series = read_series(write(text))
    assert series.values.dtype == np.float64
    assert series.values.tolist() == VALUES
    assert series.name == "x"
    if "day" not in text:
        assert (series.dates, series.period) == (None, None)
    else:
        assert series.dates == days(4)
        assert series.period == 7


@pytest.mark.parametrize("text", ["1.5\n2.5\n3.5", '"1.5"\n"2.5"\n"3.5"\n', "1,5\n2,5\n3,5\n"])
def test_without_header(write, text):
    path = write(text, "ventas.csv")
    if "," in text:  # two columns of integers, as far as anyone can tell
        with pytest.raises(DataError, match="several"):
            read_series(path)
        return
    series = read_series(path)
    assert series.values.tolist() == [1.5, 2.5, 3.5]
    assert (series.name, series.dates, series.period, series.future_dates(3)) == ("ventas", None, None, [])


def test_header_alone_tells_a_decimal_comma(write):
    assert read_series(write("Valor\n1,5\n2,5\n")).values.tolist() == [1.5, 2.5]


def test_columns_by_name_and_place(write):
    path = write("day,a,b,note\n2021-01-01,1,10,x\n2021-01-02,3,20,y\n2021-01-03,2,30,z\n")
    with pytest.raises(DataError, match=r"\(1: 'a', 2: 'b'\)"):
        read_series(path)
    for column in ("b", 2, "2"):
        series = read_series(path, column)
        assert series.values.tolist() == [10, 20, 30]
        assert series.name == "b"
        assert series.dates == days(3)
    for column in ("c", 4, -1, True, "", "4"):
        with pytest.raises(DataError, match="no single column"):
            read_series(path, column)
    with pytest.raises(DataError, match=r"line 2: expected a number; got 'x'"):
        read_series(path, "note")


def test_same_name_twice_needs_the_place(write):
    path = write("a,a\n1,4\n3,2\n")
    with pytest.raises(DataError, match="no single column"):
        read_series(path, "a")
    assert read_series(path, 1).values.tolist() == [4, 2]


def test_years_serve_as_dates_and_a_lone_counter_as_values(write):
    series = read_series(write("year,x\n1999,5\n2000,7\n2001,6\n"))
    assert series.values.tolist() == [5, 7, 6]
    assert series.period == 1
    assert [series.label(date) for date in series.future_dates(2)] == ["2002", "2003"]
    assert read_series(write("x\n1\n2\n3\n")).values.tolist() == [1, 2, 3]
    backwards = read_series(write("2001,6\n2000,7\n1999,5\n"), 1)
    assert backwards.values.tolist() == [5, 7, 6]


def test_constant_series(write):
    assert read_series(write("x\n5\n5\n5\n")).values.tolist() == [5, 5, 5]


@given(
    st.dates(dt.date(1950, 1, 1), dt.date(2060, 1, 1)),
    st.integers(40, 90),
    st.sampled_from(["%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%y", "%d/%m/%y", "%Y/%m/%d"]),
    st.sampled_from([1, 7]),
    st.booleans(),
    st.booleans(),
)
def test_day_and_month_are_told_apart(start, n, form, step, backwards, day_first):
    dates = days(n, start, step)[:: -1 if backwards else 1]
    if form.endswith("%y"):
        dates = [date.replace(year=1990 + date.year % 40, day=min(date.day, 28)) for date in days(n, start, step)]
    parsed = parse_dates([date.strftime(form) for date in dates], day_first)
    assert parsed == (dates, "".join(c.lower() for c in form if c.isalpha()))


@pytest.mark.parametrize("day_first", [True, False])
def test_first_days_of_months_that_could_be_days_of_january(day_first):
    dates = [dt.date(1980 + k // 12, k % 12 + 1, 1) for k in range(13)]
    assert parse_dates([f"{d:%d/%m/%Y}" for d in dates], day_first) == (dates, "dmy")
    assert parse_dates([f"{d:%m/%d/%Y}" for d in dates], day_first) == (dates, "mdy")
    undecided = parse_dates(["1/2/2020", "2/3/2020"], day_first)
    assert undecided[1] == ("dmy" if day_first else "mdy")


MONTH_ENDS = [dt.date(2023, 1, 31), dt.date(2023, 2, 28), dt.date(2023, 3, 31), dt.date(2023, 4, 30)]
HALF_HOURS = [dt.datetime(2021, 1, 1) + dt.timedelta(minutes=30 * k) for k in range(60)]


@pytest.mark.parametrize(
    ("dates", "period", "after"),
    [
        (["1949-11", "1949-12", "1950-01"], 12, ["1950-02", "1950-03"]),
        (["11/1949", "12/1949", "01/1950"], 12, ["1950-02", "1950-03"]),
        (["2020Q3", "2020Q4", "2021Q1"], 4, ["2021-04", "2021-07"]),
        (["2020-T3", "2020-T4", "2021-T1"], 4, ["2021-04", "2021-07"]),
        (["2020-03-31", "2020-06-30", "2020-09-30"], 4, ["2020-12-31", "2021-03-31"]),
        (["Nov 1949", "Dec 1949", "Jan 1950"], 12, ["1950-02", "1950-03"]),
        (["nov-49", "dic-49", "ene-50"], 12, ["2050-02", "2050-03"]),
        (["1949 Nov", "1949 Dec", "1950 Jan"], 12, ["1950-02", "1950-03"]),
        (["1 de abril de 2021", "2 de abril de 2021"], 7, ["2021-04-03"]),
        (["30-Sep-99", "01-Oct-99", "02-Oct-99"], 7, ["1999-10-03"]),
        (["2019-02-28", "2020-02-28", "2021-02-28"], 1, ["2022-02-28", "2023-02-28"]),
        (["2020-01-01", "2020-07-01", "2021-01-01"], 2, ["2021-07-01", "2022-01-01"]),
        ([d.isoformat() for d in MONTH_ENDS], 12, ["2023-05-31", "2023-06-30"]),
        (["2023-01-30", "2023-02-27", "2023-03-31", "2023-04-28"], 12, ["2023-05-31", "2023-06-30"]),
        ([d.isoformat() for d in days(30, step=7)], 52, ["2021-07-30", "2021-08-06"]),
        ([d.isoformat() for d in days(30, step=28)], 13, ["2023-04-21", "2023-05-19"]),
        ([d.isoformat() for d in days(730)], 365, ["2023-01-01", "2023-01-02"]),
        ([d.isoformat() for d in days(60)], 7, ["2021-03-02", "2021-03-03"]),
        ([d.isoformat() for d in days(60) if d.weekday() < 5], 5, ["2021-03-02", "2021-03-03"]),
        ([f"{d:%d/%m/%Y %H:%M}" for d in HALF_HOURS], 48, ["2021-01-02T06:00:00", "2021-01-02T06:30:00"]),
        ([f"{d.isoformat()}.000Z" for d in HALF_HOURS[::2]], 24, ["2021-01-02T06:00:00+00:00"]),
        ([f"{d.isoformat()}-03:00" for d in HALF_HOURS[::2]], 24, ["2021-01-02T06:00:00-03:00"]),
        ([f"2021-01-01 10:00:00.{k}" for k in range(8)], None, ["2021-01-01T10:00:00.800000"]),
        ([f"{d.isoformat()} 00:00:00" for d in days(20)], 7, ["2021-01-21"]),
        (["2021-01-01", "2021-01-02", "2021-02-14", "2021-02-19"], None, []),
    ],
)
def test_spacing_period_and_future(write, dates, period, after):
    rows = [f"{date},{k}.5" for k, date in enumerate(dates)]
    for lines in (rows, rows[::-1]):
        series = read_series(write("when,x\n" + "\n".join(lines)))
        assert series.values.tolist() == [k + 0.5 for k in range(len(dates))]
        assert series.period == period
        future = series.future_dates(len(after) or 1)
        assert [series.label(date) for date in future] == after
        assert series.missing is None


def test_gaps_are_counted(write):
    dates = [date for date in days(40) if date.day not in (3, 4, 20)]
    series = read_series(write("d,x\n" + "".join(f"{date},{date.day}\n" for date in dates)))
    assert series.missing.sum() == len(days(40)) - len(dates) == 5
    assert series.dates == days(40)
    assert series.period == 7
    monthly = [f"2020-{m:02}" for m in (1, 2, 3, 5, 6, 7, 8)]
    assert read_series(write("d,x\n" + "".join(f"{d},{k * k}\n" for k, d in enumerate(monthly)))).missing.tolist() == [
        False,
        False,
        False,
        True,
        False,
        False,
        False,
        False,
    ]


def test_weekdays_go_over_the_weekend():
    step = Step(weekdays=(0, 1, 2, 3, 4))
    friday = dt.date(2024, 3, 1)
    week = [friday + dt.timedelta(days=k) for k in (3, 4, 5, 6, 7, 10)]
    assert [step.after(friday, k) for k in range(1, 7)] == week
    assert [step.between(friday, date) for date in week] == [1, 2, 3, 4, 5, 6]


def test_too_few_dates_have_no_step():
    assert find_step([]) is None
    assert find_step([dt.date(2020, 1, 1)]) is None


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("d,x\n2021-01-01,1\n2021-01-02,\n2021-01-03,3\n", "missing", 3),
        ("d,x\n2021-01-01,1\n2021-01-02,NaN\n2021-01-03,3\n", "missing", 3),
        ("nan\n1\n2\n", "missing", 1),
        ("x\n1\n\n3\n", "missing", 3),
        ("x\n1\ntwo\n3\n4\n", "number", 3),
        ("x\n1\n2\n1_000\n", "number", 4),
        ("x\n1\n-inf\n3\n", "infinite", 3),
        ("x\n1\n2\n1e999\n", "infinite", 4),
        ("d,x\n2021-01-01,1\n2021-02-30,2\n2021-01-03,3\n", "date", 3),
        ("d,x\n2021-01-01,1\n,2\n2021-01-03,3\n", "date", 3),
        ("d,x\n2021-01-01 10:00Z,1\n2021-01-01 11:00,2\n2021-01-01 12:00Z,3\n", "date", 3),
        ("d,x\n2021-01-01,1\n2021-01-02,2\n2021-01-01,3\n", "twice", 4),
        ("d,x\n2021-01-01,1\n2021-01-02,2,2\n", "ragged", 3),
        ("d,x\n2021-01-01,1\n\n2021-01-03,2\n", "ragged", 3),
        ('d,x\n2021-01-01,"1\n2021-01-03,2\n', "malformed", 3),
        ('d,"x"y\n2021-01-01,1\n', "malformed", 1),
        ('d,x,note\n2021-01-01,1,"two\nlines"\n2021-01-02,,a\n2021-01-03,5,a\n', "missing", 4),
        ("x\n5\n", "too_few", None),
        ("d,x\n", "no_rows", None),
        ("a,b\none,two\nthree,four\n", "no_numbers", None),
        ("a,b\n1,3\n3,1\n", "several", None),
    ],
)
def test_mistakes_are_told_with_their_line(write, text, key, line):
    with pytest.raises(DataError) as caught:
        read_series(write(text), missing="refuse")
    assert caught.value.key == f"error.csv.{key}"
    assert caught.value.values.get("line") == line
    for lang, word in (("en", "line"), ("es", "línea")):
        told = caught.value.text(lang)
        assert "a.csv" in told
        assert line is None or f"{word} {line}" in told


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (b"", "error.text.empty"),
        (b"\n \n\n", "error.text.empty"),
        (b"x\n1\n2\0\n", "error.text.nul"),
        ("añá,x\n2021-01-01,1\n".encode() + b"\xff", "error.text.utf8"),
        (b"\x89PNG\r\n\x1a\n\0\0", "error.text.nul"),
        (b"\x1f\x8b\x08\x03\xff", "error.text.utf8"),
        (b"x" * 200_000 + b"\n1\n2\n", "error.csv.malformed"),
    ],
)
def test_what_is_no_table(write, raw, key):
    path = write(raw)
    with pytest.raises(DataError) as caught:
        read_series(path)
    assert caught.value.key == key
    assert looks_like_series(path)  # it is named .csv: let the reader say what is wrong
    assert not looks_like_series(write(raw, "a.txt"))


def test_errors_carry_no_control_characters(write):
    path = write("x\x1b[31m,y\x1b[0m\n1,3\n3,1\n")
    with pytest.raises(DataError) as caught:
        read_series(path)
    assert "\x1b" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        read_series(write("x\n1\n2\n\x1b[31m" + "z" * 9999))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_missing_file_is_an_oserror(tmp_path):
    for read in (read_series, looks_like_series):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none.csv")


PROSE = """En un lugar de la Mancha, de cuyo nombre no quiero acordarme,
no ha mucho tiempo que vivía un hidalgo de los de lanza en astillero, adarga antigua, rocín flaco.
Tenía en su casa una ama que pasaba de los 40, y una sobrina que no llegaba a los 20,
y un mozo de campo y plaza.
"""


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (PROSE, "a.txt", False),
        (PROSE * 3000, "a.txt", False),
        ("doscientos cuarenta y siete\nmil uno\nuno\n", "a.txt", False),
        ("to be, or not\nto be, that is\nthe question, or\n", "a.csv", False),
        ("1, 2, 3.\nAnd, so, on.\nAnd, so, 4.\n", "a.txt", False),
        ("date,value\n2021-01,3\n2021-02,4\n2021-03,4\n", "a.txt", True),
        ("date,value\n" + "".join(f"{d},{d.day}.5\n" for d in days(9000)), "a.dat", True),
        ("22262\n21756\n22247\n", "a", True),
        ("22262\n21756\n22247\nand so on\n", "a", False),
        ("date,value\n", "a.csv", True),
        ("date,value\n2021-01,x\n2021-02,y\n", "a.CSV", True),
        ("a,b\n1,2,3\n4\n", "a.tsv", True),
        ("a,b\n1,2,3\n4\n", "a.txt", False),
    ],
)
def test_series_and_texts_are_told_apart(write, text, name, expected):
    assert looks_like_series(write(text, name)) is expected


def test_a_series_made_by_hand():
    series = Series(np.arange(3.0), "x")
    assert len(series) == 3
    assert series.missing is None
    assert series.future_dates(2) == []
