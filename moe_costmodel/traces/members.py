"""Uncompressed members of a zip file, located without reading them."""

from __future__ import annotations

import errno
import struct
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

from moela.files.guard import MIB, invalid_file

__all__ = ["Member", "stored_members"]

_LOCAL = struct.Struct("<4s22xHH")


class Member(NamedTuple):
    """A member of a zip file: where its bytes lie in the file, and their checksum."""

    start: int
    size: int
    checksum: int


class _Directory:
    """A file that refuses to read more at once than the directory of a zip file may take."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable, self._file = file.seek, file.tell, lambda: True, file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, MIB + 1) if size >= 0 else MIB + 1)
        if len(data) > MIB:
            raise ValueError(f"a directory of more than {MIB:,} bytes")
        return data


def stored_members(file: IO[bytes], path: str | Path, expected: str) -> dict[str, Member]:
    """Return the members of an open zip file by name.

    A ValueError names the file and the fault; `expected` says which uncompressed zip it must be.
    """
    end = file.seek(0, 2)
    try:
        with zipfile.ZipFile(_Directory(file)) as archive:  # type: ignore[arg-type]
            infos = archive.infolist()
    # A damaged directory of a zip file raises errors of many kinds.
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to before the file
            raise
        got = f"{type(error).__name__}: {error}; the file may have been cut short"
        raise invalid_file(path, got, expected) from error
    members: dict[str, Member] = {}
    for info in infos:
        name = info.filename
        if name in members:
            raise invalid_file(path, "two of this name", "present only once", name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            got = f"{name!r}, which is compressed or encrypted"
            raise invalid_file(path, got, expected)
        # The extra field of the local header may have another length than that of the directory.
        file.seek(min(max(0, info.header_offset), end))
        head = file.read(_LOCAL.size)
        if info.header_offset >= 0 and len(head) == _LOCAL.size and head.startswith(b"PK\3\4"):
            start = info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(head)[1:])
            if start + info.file_size <= end:
                members[name] = Member(start, info.file_size, info.CRC)
                continue
        got = f"{name!r}, which has no header or ends beyond the file's {end:,} bytes"
        raise invalid_file(path, got, expected)
    return members
