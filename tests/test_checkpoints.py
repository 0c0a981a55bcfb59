"""Checkpoints: a run that goes on equals one that never stopped, and no failure spoils the file on disk."""

import functools
import json
import os
import stat

import numpy as np
import pytest

from compuerta import files
from compuerta.errors import FileFormatError, SettingError
from compuerta.training import (
    SGD,
    Adam,
    AdamW,
    Callback,
    Checkpoint,
    Cosine,
    EarlyStopping,
    Shuffled,
    Steps,
    TextStreams,
    Trainer,
    absolute_error,
    cross_entropy,
    load_checkpoint,
    quantile_loss,
    squared_error,
)
from small_runs import Act, ids, press, regression, regression_model, same, text_model

# ---- save, continue = continue --------------------------------------------------------------------------------------

RUNS = {
    "text": (lambda: text_model(0.3), cross_entropy, lambda: TextStreams(ids(), 4, 11), Adam),
    "text, AdamW": (lambda: text_model(0.0), cross_entropy, lambda: TextStreams(ids(), 3, 7), AdamW),
    "rows": (regression_model, squared_error, lambda: Shuffled(*regression(), 16), lambda: SGD(0.9, 0.01)),
    "rows, no memory": (regression_model, absolute_error, lambda: Shuffled(*regression(), 16), SGD),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("at", [1, 6, 9])
def test_a_resumed_run_equals_the_uninterrupted_one(name, at, tmp_path):
    model, loss, source, optimizer = RUNS[name]
    path = tmp_path / "run.checkpoint"

    def trainer(source, *callbacks):
        saver = Checkpoint(path, source)
        return Trainer(model(), loss, optimizer(), learning_rate=0.02, schedule=Cosine(2), clip=0.5, rng=7,
                       callbacks=[*callbacks, saver])  # fmt: skip

    a = source()
    whole = trainer(a)
    whole.fit(a, 14)
    assert not path.exists()  # nothing is left to do, so nothing is written
    b = source()
    with pytest.raises(KeyboardInterrupt):
        trainer(b, Act(at, press)).fit(b, 14)
    c = source()
    resumed = trainer(c, Callback())
    arrays, content = load_checkpoint(path)
    assert content["training"]["update"] == at
    resumed.restore(arrays, content["training"], c)
    resumed.fit(c, 14)
    same(resumed, whole)
    assert resumed.seconds > content["training"]["seconds"] > 0


@pytest.mark.parametrize("order", ["checkpoint last", "checkpoint first"])
@pytest.mark.parametrize("at", range(1, 12))
def test_a_resumed_run_with_early_stopping_equals_the_uninterrupted_one(order, at, tmp_path):
    """Interrupted before or after a validation, with the best weights behind, with a reduced rate: no difference."""
    path = tmp_path / "run.checkpoint"
    figures = {0: 4.0, 2: 3.0, 4: 2.0, 6: 2.5, 8: 2.5, 10: 2.5, 12: 1.5, 14: 2.0, 16: 2.0, 18: 2.0, 20: 2.0}

    def trainer(*callbacks):
        source = TextStreams(ids(), 4, 11)
        watch = [EarlyStopping(3, reductions=1), Checkpoint(path, source)]
        made = Trainer(text_model(0.3), cross_entropy, learning_rate=0.02, rng=7,
                       callbacks=[*(watch if order == "checkpoint last" else watch[::-1]), *callbacks])  # fmt: skip
        return made, source

    def go(made, source):
        made.fit(source, 20, validate=lambda: figures[made.update], every=2)

    whole, source = trainer(Callback())
    go(whole, source)
    assert whole.update == 18
    interrupted, source = trainer(Act(at, press))
    with pytest.raises(KeyboardInterrupt):
        go(interrupted, source)
    resumed, source = trainer(Callback())
    arrays, content = load_checkpoint(path)
    resumed.restore(arrays, content["training"], source)
    go(resumed, source)
    same(resumed, whole)


def test_a_checkpoint_in_the_middle_of_a_run_resumes_too(tmp_path):
    """Written after each update, the last one before a kill is as good as the one that Ctrl-C writes."""
    path = tmp_path / "run.checkpoint"
    copies = {}

    def validate():
        return 1.0

    source = TextStreams(ids(), 4, 11)
    whole = Trainer(text_model(0.3), cross_entropy, rng=7, callbacks=[Checkpoint(path, source, seconds=0.0)])
    for k in range(1, 7):
        whole.callbacks.append(Act(k, lambda trainer: copies.update({trainer.update: path.read_bytes()})))
    whole.fit(source, 6, validate=validate, every=2)
    for at in (1, 2, 3, 4):
        path.write_bytes(copies[at])
        source = TextStreams(ids(), 4, 11)
        resumed = Trainer(text_model(0.3), cross_entropy, rng=7, callbacks=[Checkpoint(path, source)])
        arrays, content = load_checkpoint(path)
        resumed.restore(arrays, content["training"], source)
        resumed.fit(source, 6, validate=validate, every=2)
        same(resumed, whole)


@pytest.mark.parametrize("bit_generator", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_any_generator_of_numpy_is_resumed(bit_generator, tmp_path):
    path = tmp_path / "run.checkpoint"

    def trainer(source):
        rng = np.random.Generator(getattr(np.random, bit_generator)(5))
        return Trainer(text_model(0.3), cross_entropy, rng=rng, callbacks=[Checkpoint(path, source)])

    source = TextStreams(ids(), 4, 11)
    whole = trainer(source)
    whole.fit(source, 5)
    source = TextStreams(ids(), 4, 11)
    first = trainer(source)
    first.fit(source, 3)
    first.callbacks[0].write(first)
    source = TextStreams(ids(), 4, 11)
    resumed = trainer(source)
    arrays, content = load_checkpoint(path)
    resumed.restore(arrays, content["training"], source)
    resumed.fit(source, 5)
    assert resumed.losses == whole.losses
    np.testing.assert_array_equal(resumed.model.parameters.flat, whole.model.parameters.flat)


def test_resume_with_another_setup_is_refused_and_the_differences_listed(tmp_path):
    path, source = tmp_path / "run.checkpoint", TextStreams(ids(), 4, 11)
    first = Trainer(text_model(0.3), cross_entropy, clip=1.0, rng=7)
    first.fit(source, 2)
    Checkpoint(path, source).write(first)
    arrays, content = load_checkpoint(path)
    for other, words in {
        Trainer(text_model(0.3, hidden=13), cross_entropy, clip=1.0, rng=7): ["model", "12", "13"],
        Trainer(text_model(0.0), cross_entropy, clip=1.0, rng=7): ["model", "0.3", "0.0"],
        Trainer(text_model(0.3), cross_entropy, AdamW(), clip=0.5, rng=7): ["optimizer", "AdamW", "clip", "0.5", "1.0"],
        Trainer(text_model(0.3), cross_entropy, Adam(0.8), clip=1.0, rng=7): ["optimizer", "0.8", "0.9"],
        Trainer(text_model(0.3), squared_error, clip=1.0, schedule=Cosine(), rng=7): ["loss", "schedule", "Cosine"],
        Trainer(text_model(0.3), cross_entropy, learning_rate=0.5, clip=1.0, rng=7): ["learning_rate: 0.001 ≠ 0.5"],
        Trainer(text_model(0.3), cross_entropy, clip=1.0, rng=7, callbacks=[EarlyStopping()]): [
            "callbacks: [] ≠ ['EarlyStopping']"
        ],
    }.items():
        before = other.model.parameters.flat.copy()
        with pytest.raises(SettingError) as caught:
            other.restore(arrays, content["training"], source)
        assert "checkpoint belongs to another run" in str(caught.value)
        assert [word for word in words if word not in str(caught.value)] == []
        np.testing.assert_array_equal(other.model.parameters.flat, before)
        assert other.update == 0


def test_a_snapshot_stays_as_it_is():
    """Taken in the middle of a run and restored after more of it, it leads where it led the first time."""
    source = TextStreams(ids(), 4, 11, restarts=0.2)
    trainer = Trainer(text_model(0.3), cross_entropy, learning_rate=0.02, rng=7)
    trainer.fit(source, 3)
    arrays, content = trainer.snapshot(source)
    before, told = {name: array.copy() for name, array in arrays.items()}, json.dumps(content)
    trainer.fit(source, 6)
    expected, losses = trainer.model.parameters.flat.copy(), list(trainer.losses)
    for name, array in before.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert json.dumps(content) == told
    trainer.restore(arrays, content, source)
    np.testing.assert_array_equal(trainer.model.parameters.flat, before["parameters"])
    trainer.fit(source, 6)
    np.testing.assert_array_equal(trainer.model.parameters.flat, expected)
    assert trainer.losses == losses


def test_a_loss_with_arguments_is_known_again_in_another_process():
    """What a checkpoint compares must not hold an address in memory, which is another one each time."""

    def setup():
        loss = functools.partial(quantile_loss, levels=(0.1, 0.5))
        return Trainer(regression_model(), loss, schedule=Steps(3), rng=0)._setup()

    told = json.dumps(setup())
    assert "0x" not in told
    other = functools.partial(quantile_loss, levels=(0.2, 0.5))
    assert json.dumps(Trainer(regression_model(), other, schedule=Steps(3), rng=0)._setup()) != told


def test_a_model_file_is_no_checkpoint(tmp_path):
    files.write(tmp_path / "a", {"w": np.zeros(2)}, {"kind": "Layer"})
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "a")


# ---- what a checkpoint does to the disk -----------------------------------------------------------------------------


def checkpointed(path):
    source = TextStreams(ids(), 4, 11)
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    trainer.fit(source, 2)
    saver = Checkpoint(path, source)
    return trainer, saver


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["write", "flush", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(where, error, tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    trainer, saver = checkpointed(path)
    saver.write(trainer)
    old = path.read_bytes()
    trainer.fit(saver.source, 4)

    def fail(*args):
        raise error

    if where in ("fsync", "replace"):
        monkeypatch.setattr(os, where, fail)
    else:
        opened = os.fdopen

        class Broken:
            def __init__(self, *args):
                self.file = opened(*args)

            def __enter__(self):
                return self

            def __exit__(self, *args):
                self.file.close()

            def write(self, data):
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                if where == "write":
                    fail()
                self.file.write(data[len(data) // 2 :])

            def flush(self):
                fail()

            def fileno(self):
                return self.file.fileno()

        monkeypatch.setattr(os, "fdopen", Broken)
    with pytest.raises(type(error)):
        saver.write(trainer)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["run.checkpoint"]
    assert load_checkpoint(path)[1]["training"]["update"] == 2
    saver.write(trainer)
    assert load_checkpoint(path)[1]["training"]["update"] == 4


def test_an_interrupt_right_after_the_rename_leaves_the_new_file(tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    trainer, saver = checkpointed(path)
    saver.write(trainer)
    trainer.fit(saver.source, 4)
    replace = os.replace

    def then_press(*args):
        replace(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", then_press)
    with pytest.raises(KeyboardInterrupt):
        saver.write(trainer)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["run.checkpoint"]
    assert load_checkpoint(path)[1]["training"]["update"] == 4


def fit_with_checkpoint(trainer, path):
    source = TextStreams(ids(), 4, 11)
    trainer.callbacks = [Checkpoint(path, source)]
    trainer.fit(source, 3)


def obstacle(kind, path):
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        target = path.with_name("elsewhere")
        target.write_text("precious")
        path.symlink_to(target)
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("kind", ["folder", "link", "FIFO"])
def test_a_checkpoint_path_that_is_no_plain_file_is_refused_before_the_first_update(kind, tmp_path):
    path = tmp_path / "run.checkpoint"
    obstacle(kind, path)
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    with pytest.raises(SettingError, match="not a regular file"):
        fit_with_checkpoint(trainer, path)
    assert trainer.update == 0
    assert stat.S_IFMT(os.lstat(path).st_mode) != stat.S_IFREG
    assert kind != "link" or path.read_text() == "precious"


def test_a_checkpoint_in_a_folder_that_is_not_there_is_refused_before_the_first_update(tmp_path):
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    with pytest.raises(FileNotFoundError):
        fit_with_checkpoint(trainer, tmp_path / "no" / "run.checkpoint")
    assert trainer.update == 0


def test_a_second_ctrl_c_does_not_write_a_half_done_update(tmp_path):
    """The optimizer is stopped between two blocks: what stands in memory is no state that a run passes through."""
    path = tmp_path / "run.checkpoint"

    class Half(SGD):
        def step(self, parameters, gradient, learning_rate):
            half = len(parameters) // 2
            if self.updates < 2:
                super().step(parameters, gradient, learning_rate)
                return
            parameters[:half] -= learning_rate * gradient[:half]
            raise KeyboardInterrupt

    source = TextStreams(ids(), 4, 11)
    whole = Trainer(text_model(), cross_entropy, Half(), learning_rate=0.1, rng=7)
    whole.fit(source, 2)
    last_whole = whole.model.parameters.flat.copy()
    source = TextStreams(ids(), 4, 11)
    trainer = Trainer(text_model(), cross_entropy, Half(), learning_rate=0.1, rng=7,
                      callbacks=[Checkpoint(path, source, seconds=0.0)])  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(source, 9)
    arrays, content = load_checkpoint(path)
    assert content["training"]["update"] == 2
    np.testing.assert_array_equal(arrays["parameters"], last_whole)
