"""Whether a folder lies on a network file system: SQLite's locks and fsync do not hold there."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK_TYPES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "glusterfs", "ceph"})


def is_network_file_system(folder: Path, mounts_file: Path = Path("/proc/mounts")) -> bool:
    """Tell whether the longest mount point above the folder is a network one; False where nobody can tell."""
    try:
        lines = mounts_file.read_text("utf-8").splitlines()
    except OSError:
        return False
    mounts = [(_unescape(fields[1]), fields[2]) for line in lines if len(fields := line.split()) >= 3]
    resolved = folder.resolve()
    above = [(point, kind) for point, kind in mounts if resolved.is_relative_to(point)]
    # Of two on one mount point, the later covers the earlier.
    return bool(above) and max(reversed(above), key=lambda mount: len(mount[0]))[1] in NETWORK_TYPES


def _unescape(point: str) -> str:
    # The kernel writes a space as \\040, and so on.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
