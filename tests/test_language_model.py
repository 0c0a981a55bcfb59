"""LanguageModel: it learns, its score is that of a stream of steps, it writes what it believes, it can be resumed."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest

import compuerta
from compuerta.activations import softmax
from compuerta.errors import DataError, NonFiniteError, NotFittedError, SettingError
from compuerta.layers import GRU, LSTM, Dropout
from compuerta.tasks import LanguageModel, characters
from compuerta.training import Callback, Checkpoint, TextStreams, Trainer, squared_error

SAYING = "la luna, la luz, la lana. "
SMALL = {"hidden_size": 16, "embedding_size": 8, "batch_size": 4, "steps": 16, "learning_rate": 0.02}


def noisy(length, seed=0):
    """A text that can be learnt in part: words in a random order."""
    rng = np.random.default_rng(seed)
    words = ["uno ", "dos ", "tres ", "cuatro ", "cinco\n", "seis "]
    return "".join(words[k] for k in rng.integers(0, len(words), length // 4 + 1))[:length]


@pytest.fixture(scope="module")
def saying():
    return LanguageModel(updates=300, **SMALL).fit(SAYING * 60)


@pytest.fixture(scope="module")
def words():
    return LanguageModel(updates=120, **SMALL).fit(noisy(6000))


def one_step_at_a_time(model, text, counted_from=1):
    """The sum of -log2 p over the characters from there on, by a stream: no batch, no stretch, no window."""
    embedding, recurrent, dense = (layer for layer in model.model_.layers if not isinstance(layer, Dropout))
    ids = [model.vocabulary_.characters.index(c) for c in text]
    stream, bits = recurrent.stream(), 0.0
    for at, (k, following) in enumerate(pairwise(ids), 1):
        z = dense.parameters["w"].astype("f8") @ stream(embedding.parameters["w"][k]) + dense.parameters["b"]
        if at >= counted_from:
            bits -= math.log2(softmax(z)[following])
    return bits


# ---- learning and scoring -------------------------------------------------------------------------------------------


def test_it_learns_a_saying(saying):
    report = saying.report_
    assert report["bits_per_char"] < 0.5
    assert report["unigram"] > 2.5
    assert saying.score(SAYING * 3) < 0.8  # which begins unknown
    assert saying.generate("la luna, la l", 12, temperature=0) == "uz, la lana."


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_score_is_a_stream_of_steps(cell, layers):
    model = LanguageModel(cell=cell, num_layers=layers, dropout=0.2, updates=25, dtype="float64", **SMALL)
    model.fit(noisy(2000))
    recurrent = model.model_.layers[1]
    assert isinstance(recurrent, LSTM if cell == "lstm" else GRU)
    assert recurrent.num_layers == layers
    for length in (2, 3, 64, 65, 66, 129, 700):
        text = noisy(length, seed=7)
        assert model.score(text) == pytest.approx(one_step_at_a_time(model, text) / (length - 1), rel=1e-10)


def test_one_stretch_is_exact_and_several_are_close(words, monkeypatch):
    text = noisy(9100, seed=8)
    several = words.score(text)
    monkeypatch.setattr(characters, "_STRETCHES", 1)
    single = words.score(text)
    assert single == pytest.approx(one_step_at_a_time(words, text) / 9099, rel=1e-5)
    assert several == pytest.approx(single, abs=0.02)


def test_several_stretches_are_each_warmed_up_with_128_characters():
    """With a forget gate so open that it matters what came long before."""
    model = LanguageModel(updates=30, **SMALL).fit(noisy(3000))
    b = model.model_.parameters["1.b_l0"].copy()
    b[16:32] = 7.0
    model.model_.parameters["1.b_l0"] = b
    text = noisy(9103, seed=8)  # four stretches of 2275 characters after the first, and two left over
    bits = one_step_at_a_time(model, text[:2276])
    for begin, end in ((2275, 4550), (4550, 6825), (6825, 9102)):
        bits += one_step_at_a_time(model, text[begin - 128 : end + 1], counted_from=129)
    assert model.score(text) == pytest.approx(bits / 9102, rel=1e-5)
    assert model.score(text) != pytest.approx(one_step_at_a_time(model, text) / 9102, rel=1e-4)


def test_every_character_of_a_long_text_counts_once(words, monkeypatch):
    """With an untrained network whose logits do not depend on the state, stretches are exact: none lost, none twice."""
    model = LanguageModel(updates=1, **SMALL).fit(noisy(6000))
    dense = model.model_.layers[-1]
    dense.parameters["w"] = np.zeros_like(dense.parameters["w"])
    dense.parameters["b"] = np.linspace(-2, 2, dense.output_size)
    p = softmax(dense.parameters["b"].astype("f8"))
    monkeypatch.setattr(characters, "_STRETCH", 130)
    for length in (2, 131, 260, 261, 262, 391, 1001, 5000):
        text = noisy(length, seed=length)
        ids = model.vocabulary_.encode(text)
        assert model.score(text) == pytest.approx(-np.log2(p[ids[1:]]).mean(), rel=1e-6)


def test_unigram_by_hand():
    # trained on aaab (validation half): counts a 3 + 1, b 1 + 1, c 0 + 1 of 7; held out: bbca
    model = LanguageModel(4, embedding_size=2, updates=1, validation=0.5).fit("aaabbbca")
    expected = -(2 * math.log2(2 / 7) + math.log2(1 / 7) + math.log2(4 / 7)) / 4
    assert model.report_["unigram"] == pytest.approx(expected, rel=1e-12)
    # of a text itself: a 3 + 1, b 1 + 1 of 6
    assert model.score_unigram("aaab") == pytest.approx(-(3 * math.log2(4 / 6) + math.log2(2 / 6)) / 4, rel=1e-12)
    with pytest.raises(DataError, match="at least one character"):
        model.score_unigram("")


def test_held_out():
    text = noisy(1000)
    model = LanguageModel(validation=0.2, updates=2, **SMALL).fit(text)
    assert model.validation_split(text) == text[800:]
    assert model.validation_split(text + "x") is None
    assert model.report_["train_characters"] == 800
    assert model.report_["characters"] == 1000
    assert model.report_["bits_per_char"] == pytest.approx(model.score(text[800:]), rel=1e-12)


def test_without_a_held_out_part_no_figure_is_made_up():
    model = LanguageModel(validation=0.0, updates=2, **SMALL).fit(noisy(500))
    assert model.report_["bits_per_char"] is None
    assert model.report_["unigram"] is None
    assert model.report_["train_characters"] == 500
    assert model.validation_split(noisy(500)) == ""


def test_the_held_out_part_is_not_learnt_from():
    """Texts that differ at their ends only give the same weights, as long as the characters are the same."""
    text = noisy(1000)
    other = text[:900] + text[900:][::-1]
    first, second = (LanguageModel(updates=10, **SMALL).fit(t) for t in (text, other))
    np.testing.assert_array_equal(first.model_.parameters.flat, second.model_.parameters.flat)
    assert first.report_["bits_per_char"] != second.report_["bits_per_char"]


def test_the_same_seed_gives_the_same_bits_and_another_another_model():
    def fit(seed):
        return LanguageModel(num_layers=2, dropout=0.3, updates=12, seed=seed, **SMALL).fit(noisy(1500))

    first, second, third = fit(3), fit(3), fit(4)
    np.testing.assert_array_equal(first.model_.parameters.flat, second.model_.parameters.flat)
    assert first.report_["losses"] == second.report_["losses"]
    assert first.report_["losses"] != third.report_["losses"]


def test_dropout_acts_in_training_only():
    model = LanguageModel(num_layers=2, dropout=0.5, updates=5, **SMALL).fit(noisy(1000))
    assert [type(layer).__name__ for layer in model.model_.layers] == ["Embedding", "LSTM", "Dropout", "Dense"]
    assert model.model_.layers[1].dropout == 0.5
    assert model.score("uno dos tres ") == model.score("uno dos tres ")
    plain = LanguageModel(num_layers=2, updates=5, **SMALL).fit(noisy(1000))
    assert plain.report_["losses"] != model.report_["losses"]


def test_the_report():
    model = LanguageModel(updates=9, **SMALL).fit(noisy(1000))
    report = model.report_
    assert report["updates"] == 9 == len(report["losses"])
    assert report["losses"][0] == pytest.approx(math.log(model.vocabulary_.size), abs=0.5)
    assert [k for k, _ in report["validations"]][-1] == 9
    assert report["seconds"] > 0
    assert (report["batch_size"], report["steps"]) == (4, 16)


def test_minutes():
    model = LanguageModel(updates=None, minutes=0.3 / 60, **SMALL).fit(noisy(1000))
    assert model.report_["updates"] > 2
    assert 0.03 <= model.report_["seconds"] < 3


def test_the_best_weights_are_kept_and_training_stops_when_it_learns_by_heart():
    """A short text of chance is learnt by heart: the validation split turns worse long before the end."""
    settings = {**SMALL, "hidden_size": 48, "learning_rate": 0.03, "schedule": "constant"}
    text = "".join(np.random.default_rng(4).choice(list("abcdefgh"), 500, p=[0.5, 0.2, *[0.05] * 6]))
    model = LanguageModel(updates=400, patience=4, **settings).fit(text)
    report, figures = model.report_, dict(model.report_["validations"])
    assert report["stopped_early"]
    assert report["updates"] < 400
    assert report["best_update"] < report["updates"]
    assert min(figures.values()) == report["validation_bits"] == figures[report["best_update"]]
    assert max(figures) == report["best_update"] + 4 * 5
    assert model.score(text[450:]) == report["bits_per_char"] == pytest.approx(report["validation_bits"], rel=1e-6)
    assert report["bits_per_char"] < report["unigram"] + 0.05
    to_the_end = LanguageModel(updates=report["updates"], patience=None, **settings).fit(text)
    assert not to_the_end.report_["stopped_early"]
    np.testing.assert_array_equal(to_the_end.model_.parameters.flat, model.model_.parameters.flat)


def step_of(**report):
    """The key of the step that is recommended, from a report with these figures."""
    model = LanguageModel(updates=1, **SMALL).fit(noisy(500))
    model.dropout = report.pop("dropout", 0.0)
    usual = {"bits_per_char": 2.0, "unigram": 4.0, "train_bits": 1.9, "stopped_early": False, "best_update": 2000,
             "updates": 2000}  # fmt: skip
    model.report_ = {**model.report_, **usual, **report}
    return model.report().lines[-1].values["next"].key.rpartition(".")[2]


def test_overfitting_is_told_from_underfitting():
    assert step_of() == "step_longer"
    assert step_of(train_bits=1.5) == "step_dropout"
    assert step_of(train_bits=1.5, dropout=0.2) == "step_text"
    assert step_of(stopped_early=True, best_update=300, updates=800) == "step_text"
    assert step_of(best_update=900) == "step_text"
    assert step_of(unigram=1.9) == step_of(unigram=1.9, train_bits=1.0) == "nothing_longer"
    assert step_of(unigram=1.9, stopped_early=True) == "nothing_text"


@pytest.mark.slow
def test_small_texts_reach_what_they_can():
    """The first thing that a person tries: never worse than the letters alone, whatever the length."""
    text = noisy(3000, seed=3) + "".join(np.random.default_rng(1).choice(list("abcdef "), 1500))
    report = LanguageModel().fit(text).report_
    assert report["bits_per_char"] <= report["unigram"]
    assert report["bits_per_char"] <= min(value for _, value in report["validations"]) + 0.05


def test_every_character_is_in_the_vocabulary():
    model = LanguageModel(updates=1, **SMALL).fit("ñandú 𝔸\n" * 9 + "☃!")
    assert model.vocabulary_.characters == "".join(sorted(set("ñandú 𝔸\n☃!")))


# ---- writing --------------------------------------------------------------------------------------------------------


def argmax_chain(model, prompt, n):
    """What is likeliest, chosen by whole forward passes over all that stands there so far."""
    ids = list(model.vocabulary_.encode(prompt))
    for _ in range(n):
        logits, _ = model.model_(np.array(ids))
        ids.append(int(logits[-1].argmax()))
    return model.vocabulary_.decode(ids[len(prompt) :])


def test_temperature_0_and_top_k_1_take_the_likeliest(words):
    expected = argmax_chain(words, "dos tr", 30)
    assert words.generate("dos tr", 30, temperature=0) == expected
    assert words.generate("dos tr", 30, top_k=1) == expected
    assert words.generate("dos tr", 30, top_p=1e-9, seed=1) == expected
    assert words.generate("dos tr", 30, temperature=1e-9, seed=2) == expected
    assert words.generate("dos tr", 30, temperature=1e-310, seed=2) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0, 1.0])
def test_nothing_is_drawn_from_scores_that_are_not_finite(bad, temperature):
    broken = LanguageModel(updates=1, **SMALL).fit(SAYING * 60)
    b = broken.model_.layers[-1].parameters["b"].copy()
    b[1] = bad
    broken.model_.layers[-1].parameters["b"] = b
    with pytest.raises(NonFiniteError, match="the next character are NaN or infinite"):
        broken.generate("la", 5, temperature=temperature, seed=0)


def test_seeds(words):
    texts = [words.generate("uno ", 60, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert words.generate("uno ", 60) != words.generate("uno ", 60)
    assert len(texts[0]) == 60
    assert words.generate("uno ", 20, seed=1) == texts[0][:20]


def test_the_prompt_counts_from_its_beginning(words):
    assert words.generate("cua", 4, temperature=0) == "tro "
    assert words.generate("cin", 3, temperature=0) == "co\n"


def draws(words, n=1500, **more):
    """The share of each character as the first one after a word."""
    counts = {}
    rng = np.random.default_rng(5)
    for _ in range(n):
        c = words.generate("tres ", 1, seed=int(rng.integers(2**31)), **more)
        counts[c] = counts.get(c, 0) + 1
    return {c: k / n for c, k in counts.items()}


def believed(words, temperature=1.0):
    logits, _ = words.model_(words.vocabulary_.encode("tres "))
    return dict(zip(words.vocabulary_.characters, softmax(logits[-1].astype("f8") / temperature), strict=True))


def test_draws_follow_the_probabilities(words):
    for temperature in (1.0, 2.0):
        expected, got = believed(words, temperature), draws(words, temperature=temperature)
        for c, p in expected.items():
            assert got.get(c, 0) == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 1500) + 1e-3)


def test_top_k_and_top_p_leave_the_others_out_and_keep_the_ratios(words):
    order = sorted(believed(words).items(), key=lambda pair: -pair[1])
    assert set(draws(words, 300, top_k=2)) == {c for c, _ in order[:2]}
    assert len(draws(words, 300, top_k=10_000)) > 2
    mass = order[0][1] + order[1][1]
    got = draws(words, 900, top_p=mass - 1e-4)  # both are needed to reach it
    assert set(got) == {c for c, _ in order[:2]}
    assert got[order[0][0]] == pytest.approx(order[0][1] / mass, abs=0.09)
    assert set(draws(words, 200, top_p=order[0][1] - 1e-4)) == {order[0][0]}
    assert set(draws(words, 200, top_p=0.999, top_k=1)) == {order[0][0]}


def test_stop(words):
    whole = words.generate("uno ", 300, seed=4)
    assert "\n" in whole
    assert words.generate("uno ", 300, seed=4, stop="\n") == whole.split("\n")[0]
    first = re.split("[\nd]", whole)[0]
    assert words.generate("uno ", 300, seed=4, stop="\nd☃") == first
    assert words.generate("uno ", 300, seed=4, stop="☃") == whole


def test_an_empty_prompt_begins_as_a_line_does(words, saying):
    assert words.generate("", 25, seed=1) == words.generate("\n", 25, seed=1)
    assert len(saying.generate("", 5, seed=1)) == 5  # whose text has no line break
    assert words.generate("uno", 0) == ""


def test_an_unknown_character_of_the_prompt_is_named(words):
    with pytest.raises(DataError, match=r"'☃' \(U\+2603\) at position 2"):
        words.generate("do☃", 5)
    with pytest.raises(DataError, match="position 0"):
        words.score("Ñu")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"n": -1}, "n"), ({"n": 2.5}, "n"), ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"), ({"top_k": 0}, "top_k"), ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0.0}, "top_p"), ({"top_p": 1.1}, "top_p"), ({"seed": -1}, "rng"), ({"seed": "a"}, "rng"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(words, more, name):
    with pytest.raises(SettingError, match=rf"\b{name} must be"):
        words.generate("uno ", **more)


# ---- settings -------------------------------------------------------------------------------------------------------


def test_get_params_set_params_and_repr():
    model = LanguageModel(32, cell="gru", clip=None)
    assert repr(model) == "LanguageModel(hidden_size=32, cell='gru', clip=None)"
    params = model.get_params()
    assert params["hidden_size"] == 32
    assert params["learning_rate"] == 0.004
    assert repr(LanguageModel(**params)) == repr(model)
    assert model.set_params(hidden_size=8, seed=5) is model
    assert (model.hidden_size, model.seed) == (8, 5)
    with pytest.raises(SettingError, match=r"no argument width; it takes hidden_size, num_layers"):
        model.set_params(width=3)
    assert repr(LanguageModel()) == "LanguageModel()"


def test_nothing_is_checked_before_fit_and_everything_in_it():
    cases = {
        "cell": ("rnn", "cell must be one of lstm, gru"),
        "schedule": ("linear", "schedule must be one of"),
        "validation": (1.0, "validation must be"),
        "batch_size": (0, "batch_size must be"),
        "steps": (-1, "steps must be"),
        "updates": (-5, "updates must be"),
        "learning_rate": (math.nan, "learning_rate must be"),
        "clip": (0, "clip must be"),
        "dropout": (1.0, "dropout must be|p must be"),
        "seed": (-1, "rng must be"),
        "hidden_size": (0, "hidden_size must be"),
        "embedding_size": (2.5, "embedding_size must be"),
        "dtype": ("float16", "dtype must be"),
        "minutes": (0, "minutes must be"),
    }
    for name, (value, said) in cases.items():
        model = LanguageModel(**{"updates": 1, "hidden_size": 4, "embedding_size": 2, name: value})
        with pytest.raises((ValueError, TypeError), match=said):
            model.fit(noisy(300))


def test_what_is_not_fitted_says_so():
    for act in (lambda m: m.generate("a"), lambda m: m.score("ab"), lambda m: m.validation_split("ab")):
        with pytest.raises(NotFittedError, match="LanguageModel has not been fitted"):
            act(LanguageModel())


def test_texts_that_are_too_short(words):
    for text, said in (("", "at least one character"), ("a", "characters")):
        with pytest.raises(DataError, match=said):
            LanguageModel(4, embedding_size=2, updates=1).fit(text)
    for text in ("", "u"):
        with pytest.raises(DataError, match="at least two characters"):
            words.score(text)
    for wrong in (b"bytes", None, ["a", "b"]):
        with pytest.raises(DataError, match="must be a str"):
            LanguageModel().fit(wrong)


@pytest.mark.parametrize(("windows", "updates"), [(2, 150), (10, 200), (99, 1980), (930, 2000)])
def test_a_short_text_is_read_20_times_at_most(windows, updates):
    assert LanguageModel()._updates(windows) == updates
    assert LanguageModel(minutes=1)._updates(windows) is None
    assert LanguageModel(updates=5000, minutes=1)._updates(windows) == 5000


@pytest.mark.parametrize("length", [2, 3, 5, 20, 65])
def test_a_short_text_takes_a_smaller_batch_and_fewer_steps(length):
    model = LanguageModel(4, embedding_size=2, updates=2).fit(("ab" * length)[:length])
    assert model.report_["updates"] == 2
    assert model.report_["batch_size"] * model.report_["steps"] < length


# ---- resuming -------------------------------------------------------------------------------------------------------


class Press(Callback):
    def __init__(self, at):
        self.at = at

    def updated(self, trainer):
        if trainer.update == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [1, 5, 10, 19])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_interrupted_fit_goes_on_to_the_same_bits(at, schedule, tmp_path):
    path = tmp_path / "run.checkpoint"

    def model():
        return LanguageModel(num_layers=2, dropout=0.2, updates=20, schedule=schedule, **SMALL)

    text = noisy(1500)
    whole = model().fit(text)
    first = model()
    with pytest.raises(KeyboardInterrupt):
        first.fit(text, callbacks=[Press(at)], checkpoint=path)
    assert first.report_["updates"] == at
    assert first.score("uno dos ") > 0  # usable
    compuerta.save(first, tmp_path / "m.safetensors")
    assert compuerta.load(tmp_path / "m.safetensors").score("uno dos ") == first.score("uno dos ")
    second = model().fit(text, checkpoint=path, resume=True)
    np.testing.assert_array_equal(second.model_.parameters.flat, whole.model_.parameters.flat)
    for key in ("losses", "validations", "bits_per_char", "updates", "unigram"):
        assert second.report_[key] == whole.report_[key], key
    assert second.generate("uno ", 30, seed=1) == whole.generate("uno ", 30, seed=1)


def interrupted(path, text, **more):
    with pytest.raises(KeyboardInterrupt):
        LanguageModel(updates=9, **{**SMALL, **more}).fit(text, callbacks=[Press(3)], checkpoint=path)


def test_more_updates_may_be_asked_for(tmp_path):
    path, text = tmp_path / "c", noisy(800)
    interrupted(path, text, schedule="constant")
    model = LanguageModel(updates=12, schedule="constant", **SMALL).fit(text, checkpoint=path, resume=True)
    whole = LanguageModel(updates=12, schedule="constant", **SMALL).fit(text)
    assert model.report_["losses"] == whole.report_["losses"]


def test_another_run_is_refused_and_the_differences_listed(tmp_path):
    path, text = tmp_path / "c", noisy(800)
    interrupted(path, text)
    before = path.read_bytes()
    cases = [
        ({"hidden_size": 24, "seed": 7}, text, ["hidden_size: 16 ≠ 24", "seed: 0 ≠ 7"]),
        ({"cell": "gru"}, text, ["cell: lstm ≠ gru"]),
        ({"learning_rate": 0.01}, text, ["learning_rate: 0.02 ≠ 0.01"]),
        ({}, noisy(800, seed=3), ["text"]),
    ]
    for more, other, listed in cases:
        with pytest.raises(SettingError) as caught:
            LanguageModel(updates=9, **{**SMALL, **more}).fit(other, checkpoint=path, resume=True)
        for difference in listed:
            assert difference in str(caught.value)
    assert path.read_bytes() == before


def test_a_cosine_run_cannot_change_its_end(tmp_path):
    path, text = tmp_path / "c", noisy(800)
    interrupted(path, text, schedule="cosine")
    with pytest.raises(SettingError, match="updates: 9 ≠ 12"):
        LanguageModel(updates=12, schedule="cosine", **SMALL).fit(text, checkpoint=path, resume=True)


def test_resume_needs_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError):
        LanguageModel(updates=2, **SMALL).fit(noisy(800), checkpoint=tmp_path / "none", resume=True)
    with pytest.raises(SettingError, match="checkpoint"):
        LanguageModel(updates=2, **SMALL).fit(noisy(800), resume=True)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    source = TextStreams(rng.integers(0, 5, 100), 2, 5)
    trainer = Trainer(compuerta.Sequential(compuerta.Embedding(5, 1, rng=0)), squared_error, rng=0)
    Checkpoint(tmp_path / "c", source).write(trainer)
    with pytest.raises(SettingError, match="another run"):
        LanguageModel(updates=2, **SMALL).fit(noisy(800), checkpoint=tmp_path / "c", resume=True)


def test_nothing_is_left_of_a_refused_fit(tmp_path):
    model = LanguageModel(updates=1, **SMALL).fit(noisy(500))
    before = model.score("uno dos ")
    for text in ("", "u", None):
        with pytest.raises(DataError):
            model.fit(text)
    with pytest.raises(FileNotFoundError):
        model.fit(noisy(900), checkpoint=tmp_path / "no" / "c")
    assert model.score("uno dos ") == before
