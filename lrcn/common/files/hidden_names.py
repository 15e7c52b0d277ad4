"""Files and folders that are none of the data, by their names."""

# Made by Windows, by Linux at the top of a disk, where root alone may look into it, and by servers.
_OF_SYSTEMS = {
    "$recycle.bin",
    "desktop.ini",
    "system volume information",
    "thumbs.db",
    "lost+found",
    "#recycle",
    "@recycle",
}


def is_hidden(name: str) -> bool:
    """Whether an entry is none of the data.

    The Mac's archiver leaves `__MACOSX` beside it, Synology's servers put `@eaDir` with thumbnails
    into every folder, and systems have files, and folders of what was deleted, of their own.
    """
    return name.startswith((".", "__MACOSX", "@eaDir")) or name.lower() in _OF_SYSTEMS
