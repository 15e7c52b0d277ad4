"""Where a score comes from: what somebody else needs to get it again."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.clips.clip import Clip

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "av", "pillow", "scikit-learn")


def describe_data(cache: FeatureCache, clips: Sequence[Clip]) -> dict[str, str]:
    """Returns what two results have in common if they are of the same features, clips and splits.

    Args:
        cache: Holds the clips.
        clips: With label and split, in order.
    """
    rows = json.dumps([[clip.clip_id, clip.label, clip.split] for clip in clips])
    return {
        "contract": cache.contract.digest,
        "splits": hashlib.sha256(rows.encode()).hexdigest(),
        "sources": cache.digest_sources(clip.clip_id for clip in clips),
    }


def list_versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a result."""
    versions = {name: _find_version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions}


def _find_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # as where tensorflow-cpu has its modules
        return getattr(sys.modules.get(package), "__version__", "unknown")


def find_git_commit() -> str | None:
    """Finds the commit of this project that is running.

    Returns:
        The commit's 40 digits, with `-dirty` behind it where files differ from it; None where the
        code does not run from a checkout of its own, or git is not there.
    """
    # Named outright: an installed copy may lie inside another project's checkout, whose commit says
    # nothing, and a git hook that runs this program points git elsewhere.
    command = ["git", f"--git-dir={_ROOT / '.git'}", f"--work-tree={_ROOT}", "--no-optional-locks"]
    command += ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
