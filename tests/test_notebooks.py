"""The notebooks: made of their sources, the same in both languages, and each runs from its first cell to its last."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"


def _make():
    spec = importlib.util.spec_from_file_location("notebooks_make", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _make()
ALL = [name for names in make.NOTEBOOKS.values() for name in names]


def code(name):
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def shape(source):
    """The tree of a cell, without its strings and its own names."""
    tree = ast.parse("\n".join("" if line.startswith("%") else line for line in source.splitlines()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = "_"
        elif isinstance(node, ast.arg):
            node.arg = "_"
        elif isinstance(node, ast.FunctionDef):
            node.name = "_"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
    return ast.dump(tree)


def test_every_notebook_is_what_its_source_makes_of_it():
    made = make.made()
    assert {path.name for path in made} == {path.name for path in FOLDER.glob("*.ipynb")} == set(ALL)
    assert {path.stem for path in (FOLDER / "source").iterdir()} == set(make.NOTEBOOKS)
    for path, content in made.items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run examples/notebooks/make.py"
        assert "⟨" not in content
        assert "⟩" not in content
        for cell in json.loads(content)["cells"]:
            assert cell["source"]
            assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


@pytest.mark.parametrize(("english", "spanish"), make.NOTEBOOKS.values(), ids=make.NOTEBOOKS)
def test_both_languages_run_the_same_code(english, spanish):
    one, other = code(english), code(spanish)
    assert len(one) == len(other) > 5
    assert one != other
    for a, b in zip(one, other, strict=True):
        assert shape(a) == shape(b), a


def test_the_shape_of_a_cell_sees_numbers_and_calls():
    assert shape("a = f(1, 'x')  # so") == shape("%matplotlib inline\nb = g(1, 'y')  # así")
    for other in ("a = f(2, 'x')", "a = f(1)", "a = f(1, x='x')", "a.b = f(1, 'x')"):
        assert shape(other) != shape("a = f(1, 'x')")


def test_both_languages_say_as_much():
    for english, spanish in make.NOTEBOOKS.values():
        kinds = []
        for name in (english, spanish):
            cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
            kinds.append([cell["cell_type"] for cell in cells])
        assert kinds[0] == kinds[1]


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # what Jupyter itself warns of is its own affair; the kernel is another process
@pytest.mark.parametrize("name", ALL)
def test_a_notebook_runs_without_a_word_of_warning(name, tmp_path):
    import nbclient
    import nbformat

    book = nbformat.read(FOLDER / name, 4)
    nbformat.validate(book)
    client = nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # the first error is raised here
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") >= 4
    last = book.cells[-1].outputs[0].data["text/html"]
    assert "<script" in last
    assert f'"lang":"{name.split(".")[1]}"' in last
    if "cel" in name:
        told = "".join(output.text for output in outputs if output.output_type == "stream")
        assert "[0.71953755 0.73617388 0.90950893]" in told
        assert "[1.44826102 1.25079807 1.54318771]" in told
