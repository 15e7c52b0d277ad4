"""The settings of a run: what the flags of `train_head` say, and what config.json holds."""

import dataclasses
import math

SEQUENCES = ("fixed", "ragged")
OUTPUTS = ("last", "mean", "mean_pool", "max_pool", "attention_pool")
FRAME_ORDERS = ("forward", "reversed", "shuffled")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings that decide a trained head; each is a flag of the same name.

    The defaults come from experiments on real VGG16 features, see the README.
    """

    sequence: str = "fixed"
    seq_len: int = 16
    sampling: str = "segments"
    jitter: bool = True
    frame_order: str = "forward"
    frame_pooling: str = "flatten"
    fc_units: int = 2048
    rnn: str = "gru"
    rnn_units: int = 256
    output: str = "last"
    input_dropout: float = 0.5
    dropout: float = 0.5
    batch_size: int = 16
    epochs: int = 20
    patience: int = 10
    optimizer: str = "adam"
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    clipnorm: float = 1.0
    clipvalue: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"--{field.name}={value}: expected a finite number. Correct it.")
        if self.clipnorm and self.clipvalue:
            raise ValueError(
                f"Expected clipping by norm or by value, not both. Received: --clipnorm="
                f"{self.clipnorm}, --clipvalue={self.clipvalue}. Switch one off with 0."
            )

    @classmethod
    def from_json(cls, fields: dict, *, where: str) -> "TrainConfig":
        """Rebuilds the settings from `dataclasses.asdict`'s dictionary.

        Raises:
            ValueError: If fields are missing, whose default may have changed since, or unknown.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != names:
            received = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
            raise ValueError(
                f"{where}: expected the settings {sorted(names)}. Received: {received}. The run "
                "was made by another version of this project: use that one, or train it again."
            )
        return cls(**fields)

    def describe_differences(self, wanted: "TrainConfig") -> str:
        """Names each setting that differs: `epochs=50, but this command says epochs=60`."""
        found, needed = [], []
        for field in dataclasses.fields(self):
            value, other = getattr(self, field.name), getattr(wanted, field.name)
            if value != other:
                found.append(f"{field.name}={value}")
                needed.append(f"{field.name}={other}")
        return f"made with {', '.join(found)}, but this command says {', '.join(needed)}"
