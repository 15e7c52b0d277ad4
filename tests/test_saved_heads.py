"""A head that was saved is the same when it is loaded, also where none was built before."""

import numpy as np
import pytest
from commands import run_python
from small_heads import NUM_CLASSES, make_head, make_maps, make_ragged_inputs, run_head

from lrcn.common.manifest import write_class_names
from lrcn.common.run_dir import RunDir
from train_head.frame_poolings import FRAME_POOLINGS
from train_head.rnns import RNNS
from train_head.run_model import load_model
from train_head.time_poolings import TIME_POOLINGS


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sequence": "ragged", "rnn": "bigru", "output": "mean", "frame_pooling": "average"},
        {"sequence": "ragged", "rnn": "lstm"},
        {"rnn": "none", "output": "mean"},
        {"sequence": "ragged", "rnn": "none", "output": "max_pool", "fc_units": 0},
        {"sequence": "ragged", "output": "attention_pool"},
    ],
    ids=str,
)
def test_saved_head_gives_equal_logits(settings, tmp_path):
    run = RunDir(tmp_path)
    head = make_head(**settings)
    head.save(run.model_path)
    write_class_names(run.classes_path, [f"class {k}" for k in range(head.output.shape[-1])])
    loaded = load_model(run)
    inputs = make_maps(2, 3)
    if "sequence" in settings:
        inputs = make_ragged_inputs(list(inputs), num_frames=5)
    np.testing.assert_array_equal(run_head(loaded, inputs), run_head(head, inputs))
    # The statistics of normalisation are weights of the file too.
    for wanted, found in zip(head.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


# In a process that has not built a head, only what `run_model` imports is registered.
_LOADER = """
import sys
from pathlib import Path

import numpy as np

from lrcn.common.run_dir import RunDir
from train_head.run_model import load_model

for path in map(Path, sys.argv[2:]):
    np.save(path / "logits.npy", load_model(RunDir(path))(np.load(sys.argv[1]), training=False))
"""


def test_every_name_makes_a_model_that_another_process_loads(tmp_path):
    named = [
        *({"rnn": name} for name in RNNS),
        *({"frame_pooling": name} for name in FRAME_POOLINGS),
        *({"output": name} for name in TIME_POOLINGS),
    ]
    heads = {RunDir(tmp_path / "_".join(x.values())): make_head(**x) for x in named}
    for run, head in heads.items():
        run.path.mkdir()
        head.save(run.model_path)
        write_class_names(run.classes_path, [f"class {k}" for k in range(NUM_CLASSES)])
    maps_path = tmp_path / "maps.npy"
    np.save(maps_path, make_maps(2, 3))
    run_python(_LOADER, maps_path, *(run.path for run in heads))
    for run, head in heads.items():
        found = np.load(run.path / "logits.npy")
        np.testing.assert_allclose(found, run_head(head, make_maps(2, 3)), atol=1e-5)
