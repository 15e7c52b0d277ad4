"""A head that was saved is the same when it is loaded, also where none was built before."""

import numpy as np
from commands import run_python
from small_heads import NUM_CLASSES, make_head, make_maps, make_ragged_inputs, run_head

from lrcn.common.cache.run_dir import RunDir
from lrcn.common.clips.manifest import write_class_names
from train_head.head.frame_poolings import FRAME_POOLINGS
from train_head.head.rnns import RNNS
from train_head.head.time_poolings import TIME_POOLINGS

# In a process that has not built a head, only what `run_model` imports is registered.
_LOADER = """
import sys
from pathlib import Path

import numpy as np

from lrcn.common.cache.run_dir import RunDir
from train_head.head.run_model import load_model

for path in map(Path, sys.argv[1:]):
    maps, *masks = np.load(path / "inputs.npz").values()
    inputs = {"feature_maps": maps, "frame_mask": masks[0]} if masks else maps
    np.save(path / "logits.npy", load_model(RunDir(path))(inputs, training=False))
"""


def test_every_name_makes_a_model_that_another_process_loads(tmp_path):
    named = [
        *({"rnn": name} for name in RNNS),
        *({"frame_pooling": name} for name in FRAME_POOLINGS),
        *({"output": name} for name in TIME_POOLINGS),
        # Behind a mask.
        {"sequence": "ragged", "rnn": "bigru", "output": "mean", "frame_pooling": "average"},
        {"sequence": "ragged", "rnn": "none", "output": "max_pool", "fc_units": 0},
        {"sequence": "ragged", "rnn": "lstm", "output": "attention_pool"},
    ]
    expected = {}
    for number, settings in enumerate(named):
        run, head = RunDir(tmp_path / f"{number}"), make_head(**settings)
        run.path.mkdir()
        head.save(run.model_path)
        write_class_names(run.classes_path, [f"class {k}" for k in range(NUM_CLASSES)])
        inputs = {"feature_maps": make_maps(2, 3)}
        if "sequence" in settings:
            inputs = make_ragged_inputs(list(make_maps(2, 3)), num_frames=5)
        np.savez(run.path / "inputs.npz", **inputs)
        expected[run] = run_head(head, inputs if "sequence" in settings else make_maps(2, 3))
    run_python(_LOADER, *(run.path for run in expected))
    for run, logits in expected.items():
        np.testing.assert_allclose(np.load(run.path / "logits.npy"), logits, atol=1e-5)
