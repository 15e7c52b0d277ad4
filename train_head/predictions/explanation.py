"""Why a head decided as it did: frame by frame, from the features that it saw."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from lrcn.common.cache.clip_features import ClipFeatures
from lrcn.common.cache.run_dir import RunDir
from train_head.head.layers import keras, tf
from train_head.predictions.integrated_gradients import integrate_gradients
from train_head.run.config import read_config

# Of heads that read each beginning of a clip anew, which takes the square of the frames: all 1,000
# of a bidirectional GRU took two minutes.
_MAX_BEGINNINGS = 200


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a head made of each frame that it was shown.

    Attributes:
        frame_index: [T] int32, number of the frame in its clip, from 0.
        timestamp_sec: [T] float64, NaN where the clip has no clock.
        probabilities: [T, K] float32, NaN after some of many frames, see
            `Explainer.predict_over_time`.
        influence: [T] float32 nats, see `Explainer.measure_influence`.
        attention: [T, h, w] float32, see `Explainer.find_attention`; of the first view.
        class_id: The class predicted for the clip, whose influence it is.
    """

    frame_index: np.ndarray
    timestamp_sec: np.ndarray
    probabilities: np.ndarray
    influence: np.ndarray
    attention: np.ndarray | None
    class_id: int

    @property
    def is_known(self) -> np.ndarray:
        """Whether the probabilities after each frame are known, [T] bool."""
        return np.isfinite(self.probabilities).all(axis=1)


def check_explainable(run: RunDir) -> None:
    """Checks that a trained run gives each clip one label, whose frames can then be explained.

    Raises:
        ValueError: If it labels every frame.
    """
    if read_config(run).labels == "frame":
        raise ValueError(
            f"{run.path}: expected a run that gives each clip one label, whose frames are then "
            "explained. Received: one that labels every frame. Use a run without --labels=frame."
        )


class Explainer:
    """A head taken apart into what reads one frame and what reads the frames in order."""

    def __init__(self, head):
        """Takes the head of a run of `check_explainable`, as `run_model.load_model` gives it."""
        encoded = head.get_layer("per_frame")
        self._is_ragged = isinstance(head.input, dict)
        encoder = keras.Model(head.input, encoded.output)
        self._encode = tf.function(  # clips differ in length
            lambda inputs: encoder(inputs, training=False), reduce_retracing=True, autograph=False
        )
        # Above the top, whose biases would make features of zeros below it.
        empty = np.zeros((1, *encoded.model.input.shape[1:]), np.float32)
        self._empty = encoded.model(empty, training=False)[None]
        inputs = [encoded.output, head.input["frame_mask"]] if self._is_ragged else encoded.output
        self._decide = _compile(keras.Model(inputs, head.output))
        every_frame = _build_for_every_frame(head, inputs)
        self._decide_every_frame = None if every_frame is None else _compile(every_frame)
        names = {layer.name for layer in encoded.model.layers}
        self._attention = None
        if "attention" in names:
            attention = encoded.model.get_layer("attention").output
            self._attention = keras.Model(encoded.model.input, attention)
            # What the frame encoder reads: above the top, at the scale of the whole clip.
            self._scale = keras.Model(head.input, head.get_layer("scale_clip").output)

    def explain(
        self, views: Sequence[ClipFeatures], *, after: np.ndarray | None = None
    ) -> Explanation:
        """Explains the decision on one clip, which is by the mean probabilities of its views.

        Args:
            views: The frames that the head reads, in each view.
            after: [N] positions in [0, T) to tell of, None for all.
        """
        first, maps = views[0], [view.feature_maps for view in views]
        if after is None:
            after = np.arange(len(first.frame_index))
        influence, class_id = self.measure_influence(maps)
        attention = self.find_attention(first.feature_maps)
        return Explanation(
            frame_index=first.frame_index[after],
            timestamp_sec=first.timestamp_sec[after],
            probabilities=self.predict_over_time(maps, after=after),
            influence=influence[after],
            attention=None if attention is None else attention[after],
            class_id=class_id,
        )

    def predict_over_time(self, views: Sequence[np.ndarray], *, after: np.ndarray) -> np.ndarray:
        """Returns the class probabilities after each frame, the mean over the views.

        They are what the head says of the clip if it ends there, at the scale of the whole clip;
        after the last frame, that is its answer. With `--output=mean` they are the softmax of each
        frame, whose mean is its answer.

        Args:
            views: One clip's frames in order, [T, ...], in each view.
            after: [N] positions in [0, T). The time it takes grows with their sum, but for an RNN
                that reads forward with `--output=last`, and for `--output=mean`.

        Returns:
            [N, K] float32. Where the time grows so, NaN but for 200 evenly spaced rows, the first
            and the last among them.
        """
        vectors = self._encode_views(views)
        if self._decide_every_frame is not None:
            logits = tf.gather(self._decide_every_frame(vectors), after, axis=1)
            return tf.reduce_mean(tf.nn.softmax(logits), axis=0).numpy()
        rows = np.linspace(0, len(after) - 1, min(len(after), _MAX_BEGINNINGS)).round().astype(int)
        logits = tf.stack([self._decide(vectors[:, : end + 1]) for end in after[rows]], axis=1)
        probabilities = np.full((len(after), logits.shape[-1]), np.nan, np.float32)
        probabilities[rows] = tf.reduce_mean(tf.nn.softmax(logits), axis=0)
        return probabilities

    def measure_influence(self, views: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
        """Measures how much each frame moved the decision, see `integrate_gradients`.

        The vectors are those that the frame encoder makes, and the decision is by the mean
        probability over the views. Of an empty frame all features are zero: VGG16 finds nothing.

        Args:
            views: One clip's frames in order, [T, ...], in each view.

        Returns:
            [T] float32 in nats, and the id of the class predicted.
        """
        return integrate_gradients(self._decide_together, self._encode_views(views), self._empty)

    def _decide_together(self, vectors):
        """Returns [N, K], the log of the mean probabilities over the views of [N, V, T, D]."""
        num_views = vectors.shape[1]
        rows = self._decide(tf.reshape(vectors, (-1, *vectors.shape[2:])))
        by_view = tf.reshape(tf.nn.log_softmax(rows), (-1, num_views, rows.shape[-1]))
        return tf.reduce_logsumexp(by_view, axis=1) - np.log(num_views)

    def find_attention(self, feature_maps: np.ndarray) -> np.ndarray | None:
        """Returns where in each frame the head looks.

        Args:
            feature_maps: [T, ...], one clip's frames in order.

        Returns:
            [T, h, w] float32, each frame's weights add up to 1; None without
            `--frame_pooling=attention`, and for features that have no positions.
        """
        if self._attention is None or feature_maps.ndim != 4:
            return None
        scaled = self._scale(self._make_inputs(feature_maps), training=False)
        frames = scaled if self._is_ragged else scaled[0]
        return self._attention(frames, training=False)[..., 0].numpy()

    def _encode_views(self, views: Sequence[np.ndarray]):
        # View by view, so that memory does not grow with their number.
        return tf.concat([self._encode(self._make_inputs(maps)) for maps in views], axis=0)

    def _make_inputs(self, feature_maps: np.ndarray):
        maps = feature_maps[None]
        if self._is_ragged:
            return {"feature_maps": maps, "frame_mask": np.ones(maps.shape[:2], bool)}
        return maps


def _build_for_every_frame(head, inputs):
    """Builds what gives the logits after every frame, [b, T, K], from one pass over the vectors.

    Returns:
        A Keras model. None where what a clip says that ends at a frame is no part of what it says
        that goes on: a backward RNN would have seen what follows, a pooling has one answer.
    """
    logits = head.get_layer("logits")
    if len(logits.output.shape) == 3:
        return keras.Model(inputs, logits.output)
    rnns = [layer for layer in head.layers if isinstance(layer, keras.layers.RNN)]
    if not rnns or rnns[-1].return_sequences:
        return None
    vectors, mask = inputs if isinstance(inputs, list) else (inputs, None)
    for rnn in rnns[:-1]:
        vectors = rnn(vectors, mask=mask)
    last = rnns[-1].from_config({**rnns[-1].get_config(), "return_sequences": True})
    states = last(vectors, mask=mask)
    last.set_weights(rnns[-1].get_weights())
    return keras.Model(inputs, logits(states))


def _compile(model):
    """Returns a function of whole sequences of vectors, [b, T, D]; one trace serves all lengths."""
    signature = tf.TensorSpec((None, None, model.inputs[0].shape[-1]), tf.float32)

    @tf.function(input_signature=[signature], autograph=False)
    def run(vectors):
        if len(model.inputs) == 1:
            return model(vectors, training=False)
        return model([vectors, tf.ones(tf.shape(vectors)[:2], "bool")], training=False)

    return run
