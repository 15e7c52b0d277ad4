"""The model of a run."""

import zipfile

from lrcn.common.run_dir import RunDir


def load_model(run: RunDir):
    """Loads `model.keras`, from feature maps to logits; nothing in it is unpickled."""
    import keras

    # They register the layers that the file names.
    from train_head import layers, rnn_layers  # noqa: F401

    try:
        return keras.models.load_model(run.model_path, compile=False, safe_mode=True)
    except ValueError as error:
        if zipfile.is_zipfile(run.model_path):
            raise
        # Keras then says that there is no such file.
        raise ValueError(
            f"{run.model_path}: expected a model. Received: a file that is cut off or another. "
            "Copy the run again, or remove the file and train again."
        ) from error
