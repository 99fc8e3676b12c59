"""Whether the files of an open store are still those that were opened, and undamaged."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from moela.evaluation.storage.sqlite import SQLITE_ERRORS, connect, index_of, log_of
from moela.files import descriptors

# Another process that copies its log into the file may make it look damaged for a moment. To delete
# a folder, or to replace a file by another, may take a moment, too.
_LOOKS = 4
_PAUSE_SECONDS = 0.1
# All pages are looked at after the log was copied into the file, in at most this share of the time.
_SHARE = 0.02
_FAULTS = (*SQLITE_ERRORS, LookupError)
_LOG_MAGIC = b"\x37\x7f\x06"


class Loss(Enum):
    """The effect of an incident on a store."""

    MOVED = "the file at the path is not the one that is open"
    CONTENT = "the open file, or its log, holds something else now"
    LOG = "the log has gone, the file itself has not"
    READ_ONLY = "the file must not be written any more"


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that has happened to the files of an open store."""

    loss: Loss
    words: str  # that follow on "the store ..."


class NotLookedError(Exception):
    """The files could not be looked at, since this process has too many others open."""


class Watch:
    """Looks at the files of an open store; the connection of the store itself is not used.

    A look takes three calls of ``stat`` while nobody else changes the files.
    """

    def __init__(self, path: Path, run: tuple[int, str]):
        self.path = path
        self._main = os.stat(path)
        self._log = _stat(log_of(path))
        self._log_header = _header(log_of(path))
        self._index = _stat(index_of(path))
        self._run = run  # number and time of creation of a run in the file
        self._newest = 0
        self._has_run = False  # whether the file itself, without its log, has that run
        self._next_pages = 0.0
        self.committed = 0  # id of the newest evaluation that this process has committed

    def saved(self, newest: int) -> None:
        """Take note that the file itself has the evaluations up to an id now."""
        with suppress(OSError, *_FAULTS):
            main = os.stat(self.path)
            shrunk = main.st_size < self._main.st_size or _blocks(main) < _blocks(self._main)
            if self._newest_saved() >= newest and not shrunk:
                self._main, self._newest, self._has_run = main, newest, True
            else:  # somebody may have cut the file in this moment: all of it is looked at next time
                self._next_pages = 0.0

    def look(self, *, closely: bool = False) -> Incident | None:
        """Return what has happened to the files since they were last looked at.

        To look `closely` takes some milliseconds more, and must precede each copy of the log.
        Raises NotLookedError if no more files can be opened.
        """
        incident = self._look_at_file() or self._look_at_log(closely)
        # A log that has gone, or cannot be read, may have gone with its file in this moment.
        return _certain(incident and (self._look_at_file() or incident))

    def look_at_pages(self, *, now: bool = False) -> Incident | None:
        """Look at all pages of the file, `now` or if that has not been done for a while.

        Somebody may have damaged the file while the log was copied into it, when its size and time
        change anyway. Raises NotLookedError if no more files can be opened.
        """
        start = time.monotonic()
        if not now and start < self._next_pages:
            return None
        whole = self._is_whole()
        self._next_pages = time.monotonic() + (time.monotonic() - start) / _SHARE
        if whole:
            return None
        # The file may have gone while its pages were looked at.
        return _certain(self._look_at_file() or Incident(Loss.CONTENT, "was overwritten or cut"))

    def _look_at_file(self) -> Incident | None:
        path, old = self.path, self._main
        new = _stat(path)
        if new is None:
            time.sleep(_PAUSE_SECONDS)  # its folder may be about to go, or its replacement come
            try:
                new = os.stat(path)
            except FileNotFoundError:
                return Incident(Loss.MOVED, self._gone())
            except OSError as error:  # such as a file system that has failed
                return Incident(Loss.MOVED, f"cannot be reached any more ({error})")
        if (new.st_dev, new.st_ino) != (old.st_dev, old.st_ino):
            return Incident(Loss.MOVED, "was replaced by another file")
        if (new.st_size, new.st_mtime_ns) != (old.st_size, old.st_mtime_ns):
            if words := self._changed(old.st_size, new.st_size):
                return Incident(Loss.CONTENT, words)
            self._main = new
        if old.st_mode & 0o222 and not new.st_mode & 0o222:
            return Incident(Loss.READ_ONLY, "was made read-only")
        return None

    def is_ours(self, file: Path) -> bool:
        """Return whether a file beside the store is the one that the open store uses."""
        ours, now = (self._log if file == log_of(self.path) else self._index), _stat(file)
        return ours is not None and now is not None and _same(ours, now)

    def holds(self, newest: int) -> bool:
        """Return whether the file itself, without its log, holds the evaluations up to an id."""
        with suppress(*_FAULTS):
            return self._newest_saved() >= newest
        return False

    def _look_at_log(self, closely: bool) -> Incident | None:
        log = log_of(self.path)
        for file, old in ((log, self._log), (index_of(self.path), self._index)):
            if old is None:  # the log is made with the first page that is written
                continue
            now = _stat(file)
            damaged = file == log and not self._log_goes_on(now, closely)
            if damaged:
                # The log may have been emptied by another process, or deleted, before it was read.
                now = _stat(file)
                damaged = not self._log_goes_on(now, closely)
            if now is None or not _same(old, now):
                how = "was deleted" if now is None else "was replaced"
                return Incident(Loss.LOG, f"has lost a part: its file {file.name} {how}")
            if damaged:
                words = f"has lost a part: its log {file.name} was cut or overwritten"
                return Incident(Loss.CONTENT, words)
            if file == log:
                self._log = now
        return None

    def _log_goes_on(self, now: os.stat_result | None, closely: bool) -> bool:
        """Return whether the log has only grown, or was begun anew after it had been copied."""
        assert self._log is not None
        if now is None or not _same(self._log, now):
            return False
        path = log_of(self.path)
        if not now.st_size:  # by another process, which has emptied it
            self._log_header = b""
            return not self._log.st_size or self.holds(self.committed)
        header = _header(path)
        if not header.startswith(_LOG_MAGIC):
            return False
        begun, self._log_header = header != self._log_header, header
        grown = begun or now.st_size >= self._log.st_size
        return grown and (not closely or _is_gapless(path))

    def _gone(self) -> str:
        if not self.path.parent.is_dir():
            return f"has gone: its folder {self.path.parent} was deleted, renamed or unmounted"
        name = _name_now(self._main)
        return f"was renamed to {name}" if name else "was deleted or moved"

    def _changed(self, old: int, new: int) -> str:
        """Return what has become of the content, nothing if another process has saved its own."""
        try:
            newest = self._newest_saved()
        except _FAULTS:  # or the file is incomplete without its log, as while the log is copied
            newest = None
        now = time.monotonic()
        if newest is not None and newest >= self._newest and now < self._next_pages:
            return ""
        # SQLite deletes the log beside an empty file when it opens it.
        if (new >= old or newest is not None) and self._is_whole():
            self._next_pages = time.monotonic() + (time.monotonic() - now) / _SHARE
            return ""
        if new < old:
            return "was emptied" if not new else f"was cut from {old} to {new} bytes"
        if newest is not None and newest < self._newest:
            return "was overwritten with an older copy"
        return "was overwritten"

    def _newest_saved(self) -> int:
        """Return the id of the newest evaluation in the file itself, without its log."""
        # SQLite closes this connection without ending the locks of the others of this process.
        with closing(connect(self.path, "mode=ro&immutable=1")) as db:
            return self._newest_in(db)

    def _newest_in(self, db: sqlite3.Connection) -> int:
        (newest,) = db.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()
        if self._has_run:
            run, created = self._run
            found = db.execute("SELECT created FROM runs WHERE id = ?", (run,)).fetchone()
            if found != (created,):
                raise LookupError
        if not isinstance(newest, int):
            raise LookupError
        return newest

    def _is_whole(self) -> bool:
        """Return whether the file with its log is undamaged and has what was committed."""
        for attempt in range(_LOOKS):
            if attempt:
                time.sleep(_PAUSE_SECONDS)
            with suppress(*_FAULTS), closing(connect(self.path, "mode=ro")) as db:
                if self._newest_in(db) >= self.committed:
                    return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
        return False


def _certain(incident: Incident | None) -> Incident | None:
    """Return an incident, unless the files may only look damaged because none can be opened."""
    if incident is not None and incident.loss is Loss.CONTENT and descriptors.at_limit():
        raise NotLookedError
    return incident


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _blocks(file: os.stat_result) -> int:
    return getattr(file, "st_blocks", 0)


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def _header(log: Path) -> bytes:
    """Return the header of a log, which has other numbers each time it is begun anew."""
    try:
        with log.open("rb") as file:  # SQLite has no locks on its log that closing it would end
            return file.read(32)
    except OSError:
        return b""


def _is_gapless(log: Path) -> bool:
    """Return whether all frames of a log, up to the last one of it, belong to it.

    If somebody cuts the log, SQLite goes on writing where it was, and leaves a gap of zeros.
    """
    header = _header(log)
    step = 24 + int.from_bytes(header[8:12], "big")  # a frame is its header and a page
    salts = header[16:24]
    try:
        with log.open("rb", buffering=0) as file:
            n = (os.fstat(file.fileno()).st_size - 32) // step
            ours = []
            for i in range(n):
                file.seek(32 + i * step + 8)
                ours.append(file.read(8) == salts)
    except OSError:
        return False
    # Frames behind the last one of ours are left from before the log was begun anew.
    while ours and not ours[-1]:
        ours.pop()
    return all(ours)


def _name_now(file: os.stat_result) -> str | None:
    """Return the name that an open file of this process has now, where the system tells it."""
    links = []
    with suppress(OSError):
        links = os.listdir("/proc/self/fd")
    for number in links:
        with suppress(OSError):
            link = f"/proc/self/fd/{number}"
            if _same(os.stat(link), file):
                name = os.readlink(link)
                return name if _same(os.stat(name), file) else None
    return None
