"""Tasks that nobody foresaw pass through every command and every face: they work, or are refused in one sentence."""

import ast
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta.errors import CompuertaError, DataError, Phrase
from compuerta.interop import formats
from compuerta.layers import GRU, LSTM, Blank, Dense, Embedding, Last, Sequential
from compuerta.see import html, plots
from compuerta.see.scene import scene_of
from compuerta.tasks import TASKS, Forecaster, LanguageModel, Option, Task
from compuerta.tasks.answers import Column, Context, Drawing, Figures, Report
from compuerta.tasks.base import fill
from compuerta.texts import LANGUAGES
from compuerta.training import SGD, Callback, Shuffled, Trainer, squared_error


class Bare(Task):
    """A task that answers nothing beyond what every task must."""

    word = "bare"

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, data=None, y=None):
        self.report_ = {}
        return self

    def to_file(self):
        self.check_fitted()
        return {"nothing": np.zeros(1)}, {"report": self.report_}

    @classmethod
    def from_file(cls, tensors, content, path):
        return cls().fit()


class OneNetwork(Task):
    """What the toys with one network have in common."""

    def network(self):
        self.check_fitted()
        return self.network_

    def to_file(self):
        self.check_fitted()
        described = [self.network_.name, self.network_.config()]
        content = {"settings": self.get_params(), "model": described, "report": self.report_}
        return dict(self.network_.parameters), content

    @classmethod
    def from_file(cls, tensors, content, path):
        task = cls(**content["settings"])
        task.network_ = cls.blank_parts(content, path)[""]
        fill(task.network_, tensors, path)
        task.report_ = content["report"]
        return task


class Mean(OneNetwork):
    """Learn the mean of the last three numbers of a file that ends in .num."""

    word = "numbers"
    training_options = (Option("hidden_size", "integer", 1, 65536), Option("updates", "integer", 1, 1_000_000_000))

    def __init__(self, hidden_size=3, updates=20, seed=0):
        self.hidden_size, self.updates, self.seed = hidden_size, updates, seed

    @classmethod
    def likeness(cls, path):
        return 1.0 if str(path).endswith(".num") else 0.0

    @classmethod
    def read(cls, path):
        try:
            return np.loadtxt(path, ndmin=1)
        except ValueError:
            raise DataError("error.csv.no_numbers", path=path, columns="-") from None

    def fit(self, values, y=None, callbacks=()):
        rng = np.random.default_rng(self.seed)
        net = Sequential(LSTM(1, self.hidden_size, rng=rng), Last(), Dense(self.hidden_size, 1, rng=rng))
        x, y = self.windows(values)
        trainer = Trainer(net, squared_error, SGD(), learning_rate=0.05, rng=rng, callbacks=callbacks)
        trainer.fit(Shuffled(x, y, batch_size=4), self.updates)
        self.network_, self.values_, self.report_ = net, values, {"error": self.error(net, values)}
        return self

    @staticmethod
    def windows(values):
        x = np.lib.stride_tricks.sliding_window_view(np.asarray(values, np.float32), 3)[..., None]
        return x, x.mean(axis=1, keepdims=True)

    @classmethod
    def error(cls, net, values):
        x, y = cls.windows(values)
        return float(np.abs(net(x)[0] - y).mean())

    def learn(self, data, context):
        context.note(Phrase("cli.train.series", file=context.source, name="\x1b[31mnumbers", n=len(data)))
        self.fit(data, callbacks=context.callbacks)

    def report(self):
        return self.text(self.report_["error"])

    @staticmethod
    def text(error):
        rows = [(Phrase("cli.report.lstm"), (error, 1000 * error))]
        return Report([Figures([Column("MAE", 12), Column("milli", 9, 1)], rows)], {"error": error})

    def evaluate(self, data, context):
        return self.text(self.error(self.network_, data))

    def facts(self):
        return {"series": "numbers"}

    def traced(self, data=None):
        self.check_fitted()
        values = np.arange(5.0) if data is None else data
        return self.network_.trace(np.asarray(values, np.float32)[None, :, None])[1]

    def drawing(self):
        return Drawing("training", {"losses": [self.report_["error"]], "unit": Phrase("plot.bits")})


class Vowels(OneNetwork):
    """Mark the vowels of a text: it reads a text, but does not predict it."""

    word = "vowels"
    reads_text = True
    training_options = (Option("hidden_size", "integer", 1, 65536),)
    letters = "abcdefghijklmnopqrstuvwxyz ,.\n"

    def __init__(self, hidden_size=3, seed=0):
        self.hidden_size, self.seed = hidden_size, seed

    @classmethod
    def read(cls, path):
        return compuerta.data.read_text(path)

    def learn(self, data, context):
        h, rng = self.hidden_size, np.random.default_rng(self.seed)
        embedding = Embedding(len(self.letters), 2, rng=rng)
        self.network_ = Sequential(embedding, GRU(2, h, rng=rng), Dense(h, 2, rng=rng))
        self.report_ = {}

    def traced(self, data=None):
        unknown = set(data) - set(self.letters)
        if unknown:
            raise DataError("error.text.not_str", got=unknown.pop())
        _, trace = self.network_.trace(np.array([[self.letters.index(one) for one in data]]))
        return trace.with_labels(text=data, labels=list(data), vocabulary=self.letters)


class Pair(Bare):
    """Two networks, of which it can say what graph they make."""

    word = "pair"

    def fit(self, data=None, y=None):
        self.networks_ = [Dense(2, 2, rng=1), Dense(2, 1, rng=2)]
        return super().fit()

    def networks(self):
        return self.networks_

    def graph(self, graph):
        x = graph.input("x", np.float32, ("N", 2))
        for k, layer in enumerate(self.networks_):
            x = graph.add("Tanh", graph.network(f"{k}.", layer, x))
        graph.output(x, "y", np.float32, ("N", 1))

    def graph_runs(self):
        x = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
        first, second = self.networks_
        yield {"x": x}, np.tanh(second(np.tanh(first(x[:, None]))))[:, 0]

    def to_file(self):
        tensors = {f"{k}.{name}": v for k, layer in enumerate(self.networks_) for name, v in layer.parameters.items()}
        return tensors | {"more": np.arange(3.0)}, {}

    @classmethod
    def blank_parts(cls, content, path):
        return {"0.": Dense(2, 2, rng=Blank()), "1.": Dense(2, 1, rng=Blank())}

    @classmethod
    def from_file(cls, tensors, content, path):
        task = cls().fit()
        assert tensors["more"].tolist() == [0, 1, 2]
        for k, layer in enumerate(task.networks_):
            fill(layer, {name: v for name, v in tensors.items() if name[0] == str(k)}, path, prefix=f"{k}.")
        return task


TOYS = (Bare, Mean, Vowels, Pair)


@pytest.fixture(scope="module")
def toys():
    with pytest.MonkeyPatch.context() as patch:
        for cls in TOYS:
            patch.setitem(TASKS, cls.__name__, cls)
        yield


@pytest.fixture(scope="module")
def models(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    (folder / "a.num").write_text("\n".join(map(str, np.random.default_rng(0).standard_normal(30))))
    (folder / "b.txt").write_text("a plain text, of plain words.\n" * 9)
    mean, vowels = Mean().fit(np.linspace(-1, 1, 20)), Vowels()
    vowels.learn("", Context())
    for name, task in {"bare": Bare().fit(), "mean": mean, "vowels": vowels, "pair": Pair().fit()}.items():
        compuerta.save(task, folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def files(models, here, unset):
    """A folder with a file of each kind and a model of each toy, in which the test runs."""
    shutil.copytree(models, here, dirs_exist_ok=True)
    return here


def each_command():
    """Every command over every toy, with options of its own and of others."""
    yield "train a.num -o m.safetensors --updates 3 --hidden-size 2"
    yield "train a.num -o m.safetensors --json --plot m.svg"
    yield from (f"train a.num -o m.safetensors --task {cls.word}" for cls in TOYS)
    yield from (f"train a.num -o m.safetensors {o}" for o in ("--column x", "--resume", "--clip 1", "--origins 2"))
    yield from (f"train b.txt --task {cls.word} --plot m.svg" for cls in TOYS)
    yield from (f"train b.txt --task {cls.word}" for cls in TOYS)
    for name in ("bare", "mean", "vowels", "pair"):
        model = f"{name}.safetensors"
        yield from (f"info {model}{more}" for more in ("", " --json"))
        yield from (f"evaluate {model} {more}" for more in ("a.num", "a.num --json", "a.num --all", "b.txt"))
        yield from (f"look {model} {more}" for more in ("", "--text plain"))
        yield from (f"explain {model} --text plain{more}" for more in ("", " --step 2"))
        yield f"generate {model}"
        yield from (f"forecast {model}{more}" for more in ("", " --column x"))
        yield from (f"convert {model} m{suffix}" for f in formats.FORMATS.values() for suffix in f.suffixes)
        yield f"convert {model} m.onnx --lengths"
    for model in ("mean.safetensors", "vowels.safetensors"):
        looks = ("--file a.num", "--file b.txt", "--text plain --find words", "--json --text plain", "--json")
        yield from (f"look {model} {more}" for more in looks)
        yield from (f"look {model} {more}-o m.{ending}" for ending in ("html", "svg", "safetensors")
                    for more in ("", "--text plain "))  # fmt: skip
        yield from (f"explain {model} --text plain {more}" for more in ("--json", "--unit 9"))


#: Commands that must work, as a beginning and an end; the others may be refused.
WORKS = [
    "train a.num -o m.safetensors --updates 3.*", "train a.num .*--plot m.svg", "train a.num .*--task numbers",
    "train b.txt --task vowels", "info .*", "evaluate mean.safetensors a.num( --json)?",
    r"look mean.safetensors (--file a.num|--json)?(-o m.\w+)?",
    "look vowels.safetensors (--json )?--text plain( -o .*)?",
    "look vowels.safetensors --file b.txt", "explain vowels.safetensors --text plain( --step 2| --json)?",
    r"convert (mean|vowels|pair|bare).safetensors m.safetensors", r"convert (mean|vowels|pair).safetensors m.onnx",
    r"convert (mean|vowels).safetensors m.(keras|pytorch.safetensors)",
    "convert (mean|vowels).* m.onnx --lengths",
]  # fmt: skip


@pytest.mark.parametrize("words", list(each_command()))
def test_a_command_works_or_refuses_in_one_sentence(files, run, words):
    code, out, err = run(*words.split())
    assert "Traceback" not in err
    assert "\x1b" not in out + err
    if any(re.fullmatch(pattern, words) for pattern in WORKS):
        assert code == 0, err
    if code:
        assert code in (1, 2)
        lines = [line for line in err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert err.splitlines()[-1] == lines[0]
        assert lines[0].rstrip("'")[-1] in ".ehlp"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_task_is_trained_measured_and_told(files, ok, lang):
    out, err = ok("train", "a.num", "-o", "m", "--updates", 5, "--hidden-size", 2, "--lang", lang)
    model = compuerta.load("m")
    assert (type(model), model.updates, model.hidden_size) == (Mean, 5, 2)
    error = model.report_["error"]
    heads, row = out.splitlines()
    assert heads.split() == ["MAE", "milli"]
    assert row.split()[0] == "LSTM"
    assert float(row.split()[2]) == pytest.approx(1000 * error, abs=0.06)
    assert len(heads) == len(row)
    assert "a.num" in err
    assert "LSTM" in err  # the network was shown, by the callback of the command
    assert json.loads(ok("train", "a.num", "-o", "m", "--updates", 5, "--hidden-size", 2, "--json")[0]) == {
        "model": "m", "task": "numbers", "error": error}  # fmt: skip
    again = json.loads(ok("evaluate", "m", "a.num", "--json")[0])
    assert again == {"error": pytest.approx(error)}
    facts = json.loads(ok("info", "m", "--json")[0])
    assert (facts["kind"], facts["series"]) == ("Mean", "numbers")
    assert facts["parameters"] == model.network_.parameters.size


def test_a_kind_that_does_not_fit_is_told_with_those_that_do(files, refused):
    err = refused(1, "explain", "mean.safetensors", "--text", "x", "--lang", "en")
    assert "this command needs a language model or model of compuerta train" in err
    err = refused(1, "evaluate", "vowels.safetensors", "b.txt", "--lang", "en")
    assert "forecasting model" in err
    err = refused(1, "train", "b.txt", "--task", "bare", "--lang", "en")
    assert "cannot" in err
    err = refused(2, "look", "vowels.safetensors", "--text", "plain", "--find", "words", "--lang", "en")
    assert "--find is for language models" in err


@pytest.mark.parametrize("cls", [Mean, Vowels])
def test_faces_of_a_trace(files, cls):
    task = compuerta.load(f"{cls.__name__.lower()}.safetensors")
    data = "plain text" if cls.reads_text else np.linspace(0, 1, 10)
    trace = task.traced(data)
    scene = scene_of(task, data)
    assert scene.steps == 10
    assert (scene.vocabulary is not None) == cls.reads_text
    assert html.page(task, data).startswith("<!DOCTYPE html>")
    trace.to_html("trace.html")
    assert plots.overview(trace, unit=0) is not None
    assert trace.explain(2)
    if task.answers("drawing"):
        assert plots.draw(task.drawing(), lang="es").get_ylabel() == "bits por carácter"


def test_a_task_that_is_not_registered_is_not_written(tmp_path, monkeypatch):
    monkeypatch.delitem(TASKS, "Bare", raising=False)
    with pytest.raises(CompuertaError, match="save: expected a compuerta model or layer; got Bare"):
        compuerta.save(Bare().fit(), tmp_path / "m")


def test_options_of_one_name_have_one_type_and_the_defaults_of_the_task():
    for groups in ("data_options", "training_options", "evaluation_options"):
        known = {}
        for cls in TASKS.values():
            for option in getattr(cls, groups):
                assert known.setdefault(option.name, option) == option
                if groups == "training_options" and option.default is not None:
                    assert cls().get_params()[option.argument] == option.default


def test_a_graph_of_two_networks_is_proven_and_read_again(files, ok):
    pytest.importorskip("onnxruntime")
    out, _ = ok("convert", "pair.safetensors", "m.onnx", "--json")
    facts = json.loads(out)
    assert facts["verified"]
    assert facts["parameters"] == 9
    assert [check["runs"] for check in facts["checks"]] == [1]
    again = formats.read("m.onnx")
    for ours, theirs in zip(Pair().fit().networks_, again.networks_, strict=True):
        np.testing.assert_array_equal(ours.parameters.flat, theirs.parameters.flat)


def test_no_one_asks_for_a_task_by_its_class_or_name():
    """In the command, the page and the converters; those that make a language model of their own do not ask."""
    root = Path(compuerta.__file__).parent
    paths = [path for part in ("cli", "see", "interop") for path in (root / part).rglob("*.py")]
    assert len(paths) > 50
    words = {word for cls in (LanguageModel, Forecaster) for word in (cls.__name__, cls.word)} | {"Task"}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                assert not asked & words, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Compare):
                compared = [node.left, *node.comparators]
                texts = {each.value for each in compared if isinstance(each, ast.Constant)}
                assert not texts & words, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"model_", "members_", "series_"}, f"{path.name}:{node.lineno}"


def test_callbacks_of_the_command_reach_the_training():
    seen = []

    class Count(Callback):
        def updated(self, trainer):
            seen.append(trainer.update)

    Mean(updates=4).learn(np.arange(9.0), Context(callbacks=[Count()]))
    assert seen == [1, 2, 3, 4]
