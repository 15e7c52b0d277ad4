"""The house rules that a reader of the code relies on."""

import ast
import fnmatch
import re
import subprocess
import sys

import pytest
from commands import ROOT

PACKAGES = ("lrcn", "extract_features", "train_head")
# What programs share on the command line.
FLAG_FILES = (
    "extract_features.backbone_flags",
    "extract_features.data_flags",
    "lrcn.common.programs.program",
    "train_head.flags.cache_flag",
    "train_head.flags.head_flags",
    "train_head.flags.manifest_flag",
    "train_head.flags.run_flags",
    "train_head.flags.setting_flags",
    "train_head.flags.train_flags",
)
# What the programs need before, or without, TensorFlow.
KERAS_MODULES = (
    "lrcn.common.vgg16.backbone",
    "lrcn.common.vgg16.frozen_convolutions",
    "train_head.head.layers",
)
LIGHT_MODULES = (
    "lrcn.common.cache.cache_lock",
    "lrcn.common.cache.contract",
    "lrcn.common.pixels.decode",
    "lrcn.common.clips.discover",
    "lrcn.common.cache.feature_cache",
    "lrcn.common.pixels.frame_selection",
    "lrcn.common.clips.manifest",
    "lrcn.common.clips.official_lists",
    "lrcn.common.cache.open_cache",
    "lrcn.common.programs.program",
    "lrcn.common.cache.run_dir",
    "lrcn.common.pixels.sampling",
    "lrcn.common.clips.splits",
    "lrcn.common.pixels.views",
    "extract_features.disk_space",
    "extract_features.extract",
    "extract_features.feature_import",
    "extract_features.official_manifests",
    "extract_features.planning",
    "extract_features.sample",
    "extract_features.verification",
    "train_head.batches.batch_plan",
    "train_head.studies.cross_validation",
    "train_head.training.fine_tuning",
    "train_head.labels.frame_labels",
    "train_head.scores.frame_metrics",
    "train_head.head.frame_poolings",
    "train_head.scores.held_out",
    "train_head.studies.near_duplicates",
    "train_head.head.optimizer",
    "train_head.head.rnns",
    "train_head.training.run_start",
    "train_head.training.train",
)


def find_modules():
    """Returns {name: path} of all modules of the packages."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            modules[name] = path
    return modules


MODULES = find_modules()
PROGRAMS = {
    name
    for name, path in MODULES.items()
    if "\n    run_program(main" in path.read_text(encoding="utf-8")
}


def read_imports(path):
    """Returns the modules, and the names of modules, that a file imports, also inside functions."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def test_the_modules_are_found():
    assert {
        "lrcn.common.clips.manifest",
        "extract_features.extract",
        "train_head.training.train",
    } <= set(MODULES)
    assert {"extract_features.__main__", "train_head.predict"} <= PROGRAMS


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("extract_features", {"train_head"}),
        ("train_head", {"extract_features"}),
        ("lrcn", {"extract_features", "train_head"}),
    ],
)
def test_the_stages_never_import_each_other(package, others):
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            assert not others & {x.split(".")[0] for x in read_imports(path)}, path


@pytest.mark.parametrize("package", ["extract_features", "train_head"])
def test_both_stages_import_the_common_part(package):
    imports = [read_imports(p) for name, p in MODULES.items() if name.startswith(package)]
    assert any(x.startswith("lrcn.common.") for x in set.union(*imports))


def test_the_map_names_every_module_and_no_other():
    text = (ROOT / "WORKSPACE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w*]+\.py(?=`)", text))
    folders = (ROOT / "benchmarks", ROOT / "tests")
    files = {x.name for x in MODULES.values()} | {x.name for y in folders for x in y.glob("*.py")}
    wanted = {x.name for x in MODULES.values() if x.name != "__init__.py"}
    assert {x for x in wanted if not any(fnmatch.fnmatch(x, y) for y in named)} == set()
    assert {x for x in named if not fnmatch.filter(files, x)} == set()


@pytest.mark.parametrize("package", ["lrcn.common", "train_head"])
def test_no_package_imports_a_later_one_of_the_map(package):
    text = (ROOT / "WORKSPACE.md").read_text(encoding="utf-8")
    folder = package.replace(".", "/")
    part = text.split(f"### `{folder}/`")[1].split("### ")[0]
    ordered = re.findall(r"\*\*`(\w+)/`\*\*", part)
    assert sorted(ordered) == sorted(x.parent.name for x in (ROOT / folder).glob("*/__init__.py"))
    for name, path in MODULES.items():
        own = name.removeprefix(f"{package}.").split(".")[0]
        if name.startswith(f"{package}.") and own in ordered:
            later = [f"{package}.{x}" for x in ordered[ordered.index(own) + 1 :]]
            imported = read_imports(path)
            assert not [x for x in imported if x.startswith(tuple(f"{y}." for y in later))], path


def test_nobody_imports_a_program():
    for path in [*MODULES.values(), *sorted((ROOT / "tests").glob("*.py"))]:
        assert not PROGRAMS & read_imports(path), path


def test_only_programs_read_flags():
    for name, path in MODULES.items():
        if "absl.flags" in read_imports(path):
            assert name in PROGRAMS or name in FLAG_FILES, path


def test_what_is_needed_without_tensorflow_does_not_import_it():
    program = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "tensorflow" in sys.modules:
        sys.exit(name)
"""
    command = [sys.executable, "-c", program, *LIGHT_MODULES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_tensorflow_comes_in_quietly():
    # Whoever imports Keras first gets its noise and all that it would import beside it.
    for name, path in MODULES.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert "import tensorflow" not in lines and "import tensorflow as tf" not in lines, path
        if any(x.startswith("import keras") for x in lines):
            assert name in KERAS_MODULES, path


def test_new_videos_are_named_without_what_keras_would_import_beside_it():
    names = {"matplotlib", "sklearn"}
    program = "from lrcn.common.programs.tensorflow_start import own_process\n"
    program += "own_process()  # as programs do\n"
    program += f"import sys, train_head.predictions.prediction; print({names} & set(sys.modules))\n"
    program += "import matplotlib.figure, sklearn.metrics  # where they are used"
    command = [sys.executable, "-c", program]
    assert subprocess.check_output(command, cwd=ROOT, text=True) == "set()\n"


def test_there_is_no_catch_all_module_and_no_assert():
    for name, path in MODULES.items():
        assert name.rsplit(".", 1)[-1] not in {"utils", "util", "helpers", "misc"}, path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), path


def test_no_pickle_is_loaded():
    for path in MODULES.values():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {"pickle", "dill", "joblib"} & read_imports(path), path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "safe_mode"):
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is (node.arg == "safe_mode"), path


def test_whoever_loads_a_model_knows_our_layers():
    # A test that saves and loads in one process would not notice what only another lacks.
    loader = MODULES["train_head.head.run_model"].read_text(encoding="utf-8")
    imported = {
        f"train_head.head.{name.name}"
        for node in ast.walk(ast.parse(loader))
        if isinstance(node, ast.ImportFrom) and node.module == "train_head.head"
        for name in node.names
    }
    num_registered = 0
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            is_registered = any("register_keras" in ast.unparse(x) for x in node.decorator_list)
            is_layer = any(ast.unparse(x).startswith("keras.layers.") for x in node.bases)
            if is_registered or (is_layer and not node.name.startswith("_")):
                assert is_registered, f"{name}.{node.name} is not registered with Keras"
                assert name in imported, f"load_model does not import {name}"
                num_registered += 1
    assert num_registered
