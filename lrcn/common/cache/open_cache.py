"""Opening the folder of a feature cache: one that is there, or one to write to.

`cache.json` has the contract, and where the clips came from. A folder that holds anything else is
never taken for a cache, nor filled.
"""

import json
from pathlib import Path

from lrcn.common.cache.contract import Contract
from lrcn.common.cache.feature_cache import FeatureCache
from lrcn.common.files.atomic_file import list_final_names, write_text
from lrcn.common.files.csv_table import read_utf8

FORMAT_VERSION = 1


def read_cache(cache_dir: str | Path) -> FeatureCache:
    """Opens an existing cache.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If its `cache.json` is not one that this version wrote.
    """
    cache_dir = Path(cache_dir)
    path = cache_dir / "cache.json"
    try:
        text = read_utf8(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"{path}: there is no cache here. Make it with "
            f"`python -m extract_features --data=... --cache_dir={cache_dir}`, or name the "
            "folder that holds it as --cache_dir (with make: CACHE=...)."
        ) from None
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}). Rebuild the cache.") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: expected format_version {FORMAT_VERSION}. Received: {version}. "
            "Rebuild the cache with this version, or use the version that made it."
        )
    contract = Contract.from_json(content.get("contract"), where=str(path))
    root, settings = content.get("data_root", ""), content.get("data_settings") or {}
    if not isinstance(root, str) or not isinstance(settings, dict):
        raise ValueError(
            f"{path}: expected text as data_root and an object as data_settings. Received: "
            f"{root!r} and {settings!r}. It was changed by hand: correct it, or rebuild the cache."
        )
    return FeatureCache(cache_dir, contract=contract, data_root=root, data_settings=settings)


def find_cache(cache_dir: Path) -> FeatureCache | None:
    """Opens the cache, or returns None where there is none.

    Raises:
        ValueError: As `read_cache`, or if the folder holds files, but no cache.
    """
    path = cache_dir / "cache.json"
    if not path.exists():
        # A program that was killed as it wrote the first `cache.json` left a temporary file of it.
        if not list_final_names(cache_dir) - {path.name}:
            return None
        if not path.exists():  # by now another shard may have made the cache
            raise ValueError(
                f"{cache_dir}: holds files, but no cache. Expected a cache or an empty or new "
                "folder, so that nothing of yours is overwritten. Name another --cache_dir (with "
                "make: CACHE=...)."
            )
    return read_cache(cache_dir)


def check_contract(existing: FeatureCache | None, contract: Contract) -> None:
    """Checks that the cache, where there is one, is of this contract.

    Raises:
        ValueError: If not; the differing fields are named.
    """
    if existing is not None and existing.contract != contract:
        differences = existing.contract.describe_differences(contract, wanted_by="this command")
        remedy = "Leave out the flags that differ to use the cache as it is"
        if contract.is_imported:
            remedy = "Give the features that it was made of, under the name that they had"
        raise ValueError(
            f"{existing.contract_path}: {differences}. {remedy}, or name another "
            "--cache_dir (with make: CACHE=...)."
        )


def create_cache(
    cache_dir: Path, *, contract: Contract, data_root: Path, data_settings: dict | None = None
) -> FeatureCache:
    """Opens the cache for writing under `contract`, creating it where there is none.

    Raises:
        ValueError: If the folder holds a cache with another contract (the differing fields are
            named), or files but no cache.
    """
    check_contract(find_cache(cache_dir), contract)
    cache_dir.mkdir(parents=True, exist_ok=True)
    root = str(data_root.resolve())
    content = {
        "format_version": FORMAT_VERSION,
        "contract": contract.to_json(),
        "data_root": root,
        "data_settings": data_settings or {},
    }
    cache = FeatureCache(cache_dir, contract=contract, data_root=root, data_settings=data_settings)
    write_text(cache.contract_path, json.dumps(content, indent=2) + "\n")
    return cache
