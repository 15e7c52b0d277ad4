"""The settings of a run: what the flags of `train_head` say, and what config.json holds."""

import dataclasses
from typing import ClassVar

from lrcn.common.cache.run_dir import RunDir, read_json
from lrcn.common.pixels.sampling import SAMPLERS

LABELS = ("clip", "frame")
SEQUENCES = ("fixed", "ragged")
FRAME_ORDERS = ("forward", "reversed", "shuffled")
SCHEDULES = ("constant", "cosine")
CLASS_WEIGHTS = ("none", "balanced")
# What clips are read by, also once a run is trained: its other settings count no more then.
_READING = {
    "labels": LABELS,
    "sequence": SEQUENCES,
    "sampling": SAMPLERS,
    "frame_order": FRAME_ORDERS,
    "seq_len": range(1, 2**53),
    "batch_size": range(1, 2**53),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings that decide a trained head; each is a flag of the same name.

    The defaults come from experiments, see benchmarks/RECIPE.md.

    Attributes:
        program: What trains with such settings.
    """

    program: ClassVar[str] = "train_head"
    labels: str = "clip"
    sequence: str = "fixed"
    seq_len: int = 16
    sampling: str = "segments"
    jitter: bool = True
    min_span: float = 1.0
    drop_frames: float = 0.0
    frame_order: str = "forward"
    frame_pooling: str = "flatten"
    fc_units: int = 2048
    rnn: str = "gru"
    rnn_layers: int = 1
    rnn_units: int = 256
    output: str = "last"
    input_dropout: float = 0.5
    dropout: float = 0.5
    recurrent_dropout: float = 0.0
    class_weights: str = "none"
    balanced_sampling: bool = False
    batch_size: int = 16
    epochs: int = 20
    patience: int = 10
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    clipnorm: float = 1.0
    clipvalue: float = 0.0
    mixed_precision: bool = False
    seed: int = 0

    def __post_init__(self):
        _check_clipping(clipnorm=self.clipnorm, clipvalue=self.clipvalue)
        if self.class_weights != "none" and self.balanced_sampling:
            raise ValueError(
                "Expected balance by weights or by sampling, not both, which would favour rare "
                f"classes. Received: --class_weights={self.class_weights} and --balanced_sampling. "
                "Leave one out."
            )
        if self.labels == "frame":
            self._check_frame_labels()
        if self.warmup_epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"Expected a warm-up that ends before training does. Received: --warmup_epochs="
                f"{self.warmup_epochs}, --epochs={self.epochs}. Shorten it, or train longer."
            )

    def _check_frame_labels(self):
        if self.output != "last":
            raise ValueError(
                "Expected no --output with --labels=frame, since every frame has an answer of its "
                f"own and none is made of all. Received: --output={self.output}. Leave it out."
            )
        if self.balanced_sampling:
            raise ValueError(
                "Expected no --balanced_sampling with --labels=frame, since it draws clips, whose "
                "frames are of several classes. Leave it out, or use --class_weights=balanced."
            )

    def describe_differences(self, wanted: "TrainConfig") -> str:
        """Names each setting that differs: `epochs=50, but this command says epochs=60`."""
        if type(self) is not type(wanted):
            return f"made by {self.program}, but this command is {wanted.program}"
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(wanted)
        names = [name for name in ours if ours[name] != theirs[name]]
        found, needed = (
            ", ".join(f"{name}={settings[name]}" for name in names) for settings in (ours, theirs)
        )
        return f"made with {found}, but this command says {needed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuneConfig(TrainConfig):
    """The settings of a run in two phases: of the head, then of block 5 and head together.

    Attributes:
        tune_layers: How many of VGG16's last layers the second phase trains, counted without its
            classifier: `block5_pool` is 1, `block4_pool` 5. Pooling has no weights, so 2 to 4 are
            that many convolutions less one, and 5 is the same as 4.
    """

    program: ClassVar[str] = "train_head.fine_tune"
    tune_layers: int = 5
    tune_epochs: int = 10
    tune_learning_rate: float = 1e-5
    tune_schedule: str = "cosine"
    tune_clipnorm: float = 1.0
    tune_clipvalue: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        _check_clipping(tune_clipnorm=self.tune_clipnorm, tune_clipvalue=self.tune_clipvalue)

    def first_phase(self) -> TrainConfig:
        """The settings with which the head alone is trained."""
        names = [field.name for field in dataclasses.fields(TrainConfig)]
        return TrainConfig(**{name: getattr(self, name) for name in names})

    def second_phase(self) -> TrainConfig:
        """The settings with which block 5 and head are trained: those of the head, but for the
        optimizer's, and in the dtypes that the first phase's model was saved in.
        """
        return dataclasses.replace(
            self.first_phase(),
            epochs=self.tune_epochs,
            learning_rate=self.tune_learning_rate,
            schedule=self.tune_schedule,
            warmup_epochs=0.0,
            clipnorm=self.tune_clipnorm,
            clipvalue=self.tune_clipvalue,
            mixed_precision=False,
        )


def read_config(run: RunDir) -> TrainConfig:
    """Reads a run's settings, of fine-tuning a `FineTuneConfig`.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If fields are missing, whose default may have changed since, or unknown, or one
            is nothing that training writes.
    """
    fields = read_json(run.config_path)
    kind = FineTuneConfig if "tune_layers" in fields else TrainConfig
    names = {field.name for field in dataclasses.fields(kind)}
    if set(fields) != names:
        raise ValueError(
            f"{run.config_path}: expected the settings {sorted(names)}. Received: "
            f"{sorted(fields)}. The run was made by another version of this project: use that one, "
            "or train it again."
        )
    for field in dataclasses.fields(kind):
        value = fields[field.name]
        if not _is_setting(field, value):
            raise ValueError(
                f"{run.config_path}: expected {field.name} as training wrote it. Received: "
                f"{value!r}. Undo the change, or copy the run again."
            )
    return kind(**fields)


def _is_setting(field: dataclasses.Field, value: object) -> bool:
    """Whether a setting may be this: a misspelt text would be taken for the other of two."""
    kind = type(field.default)
    if field.default is None or kind is float:  # None of a rate that goes by the clips
        return type(value) in (int, float) or (value is None and field.default is None)
    return type(value) is kind and value in _READING.get(field.name, (value,))


def _check_clipping(**settings: float) -> None:
    if all(settings.values()):
        received = ", ".join(f"--{name}={value}" for name, value in settings.items())
        raise ValueError(
            f"Expected clipping by norm or by value, not both. Received: {received}. Switch one "
            "off with 0."
        )
