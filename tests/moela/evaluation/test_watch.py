"""Tests of the watch over an open store: files that vanish while the watch reads them."""

import contextlib
import re

import pytest
from store_incidents import unlink_all, unlink_folder, unlink_log

from moela.evaluation.storage import watch
from moela.evaluation.storage.sqlite import connect


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (unlink_log, "has lost a part: its file run.db-wal was deleted"),
        (unlink_all, "was deleted or moved"),
        (unlink_folder, "has gone: its folder .* was deleted, renamed or unmounted"),
    ],
)
@pytest.mark.parametrize("before", ["_header", "_is_gapless"])
def test_files_that_go_while_they_are_read(tmp_path, monkeypatch, how, words, before):
    store = tmp_path / "runs" / "run.db"
    store.parent.mkdir()
    with contextlib.closing(connect(store, "mode=rwc")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE evaluations (id INTEGER)")
        watching = watch.Watch(store, (1, ""))
        assert watching.look(closely=True) is None
        read = getattr(watch, before)

        def gone_before(log):
            if log.exists():
                how(store, None)
            return read(log)

        monkeypatch.setattr(watch, before, gone_before)
        assert re.fullmatch(words, watching.look(closely=True).words)
