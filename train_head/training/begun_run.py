"""A run before its first epoch is done: what is written of it, and that none of it stays."""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.cache.run_dir import RunDir, write_json
from lrcn.common.clips.clip import Clip
from lrcn.common.clips.manifest import write_manifest
from lrcn.common.files.atomic_file import list_final_names, write_text
from train_head.labels.frame_labels import FrameLabels, format_frame_labels
from train_head.run.config import TrainConfig
from train_head.run.provenance import list_versions
from train_head.run.run_sources import digest_run_sources


class BegunRun:
    """The files of a run that are written before an epoch is done.

    Attributes:
        run: The run.
    """

    def __init__(self, run: RunDir):
        """Takes a run that is locked; its folder is there."""
        self.run = run
        self._folder = os.stat(run.path)
        # In the order in which they are written, but for the labels, which not all runs have.
        self._paths = (
            run.classes_path,
            run.classes_digest_path,
            run.frame_labels_path,
            run.manifest_path,
            run.contract_path,
            run.sources_path,
            run.versions_path,
            run.flags_path,
            run.config_path,
        )

    def has_epochs(self) -> bool:
        """Whether there is anything that took time: an epoch, of fine-tuning also of the head."""
        run = self.run
        if any(map(os.path.lexists, (run.model_path, run.history_path))):
            return True
        checkpoints = list_final_names(run.checkpoints_path)
        if any(name.startswith("last_") for name in checkpoints):
            return True
        return run.head_path.is_dir() and BegunRun(RunDir(run.head_path)).has_epochs()

    def holds_other_files(self) -> bool:
        """Whether it has files other than what a training that was killed at its start leaves."""
        run, names = self.run, list_final_names(self.run.path)
        if run.config_path.exists() or not names:
            return False
        at_start = {path.name for path in (run.checkpoints_path, *self._paths)}
        is_start = run.checkpoints_path.name in names and names <= at_start
        return not is_start or bool(list_final_names(run.checkpoints_path))

    def write(
        self,
        config: TrainConfig,
        cache: FeatureCache,
        *,
        clips: list[Clip],
        class_names: list[str],
        frame_labels: FrameLabels | None,
    ) -> None:
        """Writes what is known before the first step, in place of a start with other settings."""
        run = self.run
        self._remove()
        run.checkpoints_path.mkdir()
        run.write_class_names(class_names)
        if frame_labels is not None:
            write_text(run.frame_labels_path, format_frame_labels(frame_labels))
        write_manifest(run.manifest_path, clips)
        write_json(run.contract_path, cache.contract.to_json())
        sources = digest_run_sources(cache, clips, labels_frames=frame_labels is not None)
        write_text(run.sources_path, sources)
        write_json(run.versions_path, list_versions())
        settings = dataclasses.asdict(config)
        lines = [f"--{name}={x}" for name, x in settings.items() if x is not None]
        write_text(run.flags_path, "\n".join(lines) + "\n")
        # Last, since its presence says that the rest is there.
        write_json(run.config_path, config)

    @contextlib.contextmanager
    def leave_none_without_epochs(self) -> Iterator[None]:
        """Removes the run if the block raises before an epoch is done, as it holds nothing then."""
        try:
            yield
        except BaseException:
            # What cannot be removed is begun anew. Another training may have a folder of this name.
            with contextlib.suppress(OSError):
                if os.path.samestat(self._folder, os.stat(self.run.path)) and not self.has_epochs():
                    self._remove()
            raise

    def _remove(self) -> None:
        run = self.run
        head_run = RunDir(run.head_path)
        if head_run.config_path.exists():
            BegunRun(head_run)._remove()
            with contextlib.suppress(OSError):  # it holds something else
                head_run.path.rmdir()
        # The settings first: files without them are what a kill leaves of a start.
        for path in reversed(self._paths):
            path.unlink(missing_ok=True)
        for folder in (run.logs_path, run.checkpoints_path):
            if folder.is_dir():
                shutil.rmtree(folder)
