"""Imports go one way, down the list; `import compuerta` costs next to nothing; nothing heavy or unsafe is imported."""

import ast
import functools
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import compuerta

SOURCE = Path(compuerta.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

#: What each part may import of ours, besides itself; from the foundation up.
MAY_IMPORT = {
    "texts": set(),
    "errors": {"texts"},
    "hooks": set(),
    "textbook": {"hooks"},
    "checks": {"errors"},
    "activations": {"errors"},
    "gates": {"activations", "texts"},
    "initializers": set(),
    "files": {"errors"},
    "data": {"checks", "errors", "texts"},
    "recurrence": {"activations", "errors", "gates"},
    "layers": {"hooks", "activations", "checks", "errors", "files", "gates", "initializers", "recurrence", "texts"},
    "training": {"checks", "errors", "files", "layers", "recurrence", "texts"},
    "tasks": {"activations", "checks", "data", "errors", "files", "layers", "texts", "training"},
    "see": {"hooks", "activations", "checks", "errors", "files", "gates", "layers", "recurrence", "tasks", "textbook",
            "texts"},
    "interop": {"hooks", "activations", "checks", "errors", "files", "gates", "layers", "recurrence", "tasks", "texts"},
    "cli": {"", "data", "errors", "files", "interop", "layers", "recurrence", "see", "tasks", "texts", "training"},
    "__main__": {"cli"},
}  # fmt: skip
#: What may be imported that is not in the standard library, and where if not everywhere.
OUTSIDE = {"numpy": None, "safetensors": {"files.py", "interop/runners.py"}, "click": {"cli"},
           "tqdm": {"training/callbacks.py"}, "h5py": {"interop/hdf5.py"}, "google": {"interop/onnx/document.py"},
           "onnx": {f"interop/onnx/{name}.py" for name in ("document", "node", "runtime", "writer")},
           "onnxruntime": {"interop/onnx/runtime.py"}, "matplotlib": {"see/plots.py"},
           "typing_extensions": {"layers/base.py"}}  # fmt: skip
#: Frameworks that conversions are compared with where they are installed; one module runs them, inside its functions.
PEERS, RUNNERS = {"torch", "keras", "jax", "flax", "equinox"}, "interop/runners.py"
NEVER = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch", "tensorflow", "keras",
         "jax", "sklearn", "scipy", "pandas", "socket", "urllib", "http", "requests"}  # fmt: skip


def part(name):
    return name.split(".")[0]


def place(path):
    return path.relative_to(SOURCE).as_posix()


def source_of(node, package):
    """Return the whole name of the module that a ``from`` imports from."""
    base = package[: len(package) - node.level + 1] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def named_imports(path):
    """Yield ``(module, name)`` for each name that a file imports from a module."""
    package = ["compuerta", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            yield from ((source_of(node, package), alias.name) for alias in node.names)


@functools.cache
def imports(path):
    """Return ``(module, whether inside a function)`` for each import; ours as "compuerta.<module>"."""
    return list(_imports(path))


def _imports(path):
    tree = tree_of(path)
    package = ["compuerta", *path.relative_to(SOURCE).parts[:-1]]
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
              for n in ast.walk(f)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            base = source_of(node, package)
            for alias in node.names if node.level and not node.module else [None]:
                known = alias is not None and (package[: len(package) - node.level + 1] == ["compuerta"])
                yield (f"{base}.{alias.name}" if known else base), id(node) in inside


def own(module):
    """Return the part of ours that a module belongs to ("" for the package itself), or None."""
    words = module.split(".")
    if words[0] != "compuerta":
        return None
    name = words[1] if len(words) > 1 else ""
    return name if name in MAY_IMPORT else ""


def part_of(path):
    name = path.relative_to(SOURCE).parts[0]
    return name.removesuffix(".py")


def test_every_part_stands_in_the_table():
    assert {part_of(path) for path in MODULES} - {"__init__"} == set(MAY_IMPORT)
    assert len(MODULES) > 40


def test_the_architecture_shows_the_parts_in_this_order():
    page = Path(__file__).parents[1] / "ARCHITECTURE.md"
    drawn = re.findall(r"^  (\w+)(?:\.py|/) ", page.read_text(encoding="utf-8"), re.M)
    assert drawn == [name for name in MAY_IMPORT if name != "__main__"]


def test_the_table_has_one_direction():
    names = list(MAY_IMPORT)
    for name, others in MAY_IMPORT.items():
        assert {other for other in others if other and names.index(other) >= names.index(name)} == set()


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_imports_go_down(path):
    mine = part_of(path)
    if mine == "__init__":
        assert {own(m) for m, _ in imports(path) if own(m)} == {"hooks", *compuerta._MODULES}
        return
    for module, _ in imports(path):
        other = own(module)
        if other is None or other == mine:
            continue
        assert other in MAY_IMPORT[mine], f"{place(path)} imports {module}"


def test_the_table_allows_nothing_that_is_not_used():
    used = {name: set() for name in MAY_IMPORT}
    for path in MODULES:
        if part_of(path) != "__init__":
            used[part_of(path)] |= {own(m) for m, _ in imports(path)} - {None, part_of(path)}
    assert used == MAY_IMPORT


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_nothing_else_is_imported(path):
    for module, inside in imports(path):
        name = part(module)
        if place(path) == RUNNERS and name in PEERS:
            assert inside, f"{RUNNERS} imports {module} when it is imported itself"
            continue
        assert name not in NEVER, f"{place(path)} imports {module}"
        if name == "compuerta" or name in sys.stdlib_module_names:
            continue
        assert name in OUTSIDE, f"{place(path)} imports {module}"
        where = OUTSIDE[name]
        assert where is None or part_of(path) in where or place(path) in where, f"{place(path)} imports {module}"


def test_what_is_heavy_is_imported_where_it_is_needed():
    """Outside of functions: NumPy everywhere but in the command, the texts and errors; the others nowhere."""
    for path in MODULES:
        at_once = {part(m) for m, inside in imports(path) if not inside}
        assert not at_once & {"safetensors", "tqdm", "h5py", "matplotlib"}, place(path)
        if part_of(path) in ("cli", "texts", "errors", "__init__", "__main__"):
            assert "numpy" not in at_once, place(path)


def modules_after(code):
    program = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_next_to_nothing():
    loaded = modules_after("import compuerta")
    assert {m for m in loaded if m.startswith("compuerta")} == {"compuerta", "compuerta.hooks"}
    assert not {part(m) for m in loaded} & ({"numpy", "safetensors", "click", "tqdm", "json", "matplotlib"} | NEVER)


def test_layers_need_no_more_than_numpy():
    loaded = modules_after("import compuerta, numpy; compuerta.LSTM(2, 3, rng=0)(numpy.zeros((1, 4, 2)))")
    assert not {part(m) for m in loaded} & {"safetensors", "click", "tqdm", "matplotlib"}
    assert not {m for m in loaded if m.startswith("compuerta.")} & {"compuerta.training", "compuerta.tasks",
                                                                   "compuerta.cli", "compuerta.see"}  # fmt: skip


def circles(edges):
    """Return the sets of nodes of a graph that reach each other, those of one node left out (Tarjan 1972)."""
    order, low, stack, found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in edges[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            found.append({stack.pop() for _ in range(len(stack) - stack.index(node))})

    for node in edges:
        if node not in order:
            visit(node)
    return [circle for circle in found if len(circle) > 1]


def test_circles_are_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e", "a"}}) == [{"b", "c"}]


def test_no_files_import_each_other():
    """Those inside of functions and for the type checker's sake count too."""
    names = {".".join(["compuerta", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__"): path
             for path in MODULES}  # fmt: skip
    edges = {}
    for name, path in names.items():
        found = {f"{m}.{alias}" if f"{m}.{alias}" in names else m for m, alias in named_imports(path)}
        edges[name] = (found & names.keys()) - {name}
    assert circles(edges) == []


def private_names(path):
    """Yield ``(line, name)`` for each name with a leading _ that a file reads and does not give itself."""
    tree = tree_of(path)
    own_names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own_names |= {node.attr for node in ast.walk(tree)
                  if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}  # fmt: skip
    own_names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = [alias.name for alias in node.names]
        else:
            names = [node.attr] if isinstance(node, ast.Attribute) else []
        yield from ((node.lineno, name) for name in names
                    if name.startswith("_") and not name.startswith("__") and name not in own_names)  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_what_begins_with_an_underscore_stays_in_its_file(path):
    assert list(private_names(path)) == []


def public_modules():
    return [compuerta, *(getattr(compuerta, name) for name in compuerta._MODULES)]


def test_what_a_module_offers_is_meant_is_there_and_says_what_it_is():
    for module in public_modules():
        assert dir(module) == sorted(module.__all__), module.__name__
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value) or inspect.isclass(value):
                assert value.__doc__, f"{module.__name__}.{name}"
    assert not {"checks", "files", "hooks", "cli"} & set(dir(compuerta))
    assert compuerta.Activation is compuerta.layers.Activation
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = compuerta.nothing


RESOLVE = """
import sys, compuerta
for path in sys.stdin.read().split():
    value = compuerta
    for name in path.split(".")[1:]:
        value = getattr(value, name)
"""


def test_what_docstrings_and_pages_name_resolves_by_attribute():
    """After ``import compuerta`` and nothing else; the command's own modules are no part of what one imports."""
    pages = [*MODULES, *Path(__file__).parents[1].glob("*.md"), *Path(__file__).parents[1].glob("docs/*.md")]
    texts = [path.read_text(encoding="utf-8") for path in pages]
    names = {name for text in texts for name in re.findall(r":\w+:`~?(compuerta[\w.]*)`", text)}
    names |= {name for text in texts for name in re.findall(r"`(compuerta\.[\w.]*\w)`", text)}
    names = {name for name in names if not name.startswith("compuerta.cli")}
    assert len(names) > 60
    done = subprocess.run([sys.executable, "-c", RESOLVE], input="\n".join(names), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
