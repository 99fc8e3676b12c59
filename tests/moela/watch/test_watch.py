"""Watching a run: what is read from its store, how it is shown, and what it costs."""

import io
import json

import numpy as np
import pytest
from moocore import hypervolume

import moela
from moela import EvaluationStore, describe_runs
from moela.cli import main
from moela.evaluation.storage.errors import StoreError
from moela.quality.words import duration
from moela.watch.follow import Follower
from moela.watch.listing import failure_lines, snapshots
from moela.watch.terminal import lines_of, sparkline, watch
from tests.moela.watch import watch_cases as cases


def test_snapshot_agrees_with_the_store(finished):
    first, second = snapshots(finished)
    with EvaluationStore(finished) as store:
        rows = list(store.evaluations(1))
        front = store.front(1).get("F")
    failed = [row for row in rows if row.status != "ok"]
    assert failed
    assert (first.run, first.state, first.n_eval, first.budget) == (1, "done", 200, 200)
    assert (first.n_fresh, first.n_failed) == (len(rows), len(failed))
    assert first.problem == "Beam"
    assert first.algorithm == "NSGA2"
    assert first.names == ["mass <b>", "rise"]
    np.testing.assert_array_equal(first.best, front.min(axis=0))
    assert sorted(map(tuple, first.front)) == sorted(map(tuple, front.tolist()))
    # The number in a message differs from failure to failure; the kind of failure is one.
    assert first.failures == [(len(failed), "error", "RuntimeError: no mesh for # at #")]
    assert sum(n for _, n in first.workers) == len(rows)
    # Its owner, this process, lives.
    assert (second.state, second.n_eval, second.budget) == ("running", 120, 400)
    assert second.seconds_left == pytest.approx(280 / second.rate)


def test_hypervolume_is_the_share_of_the_box(finished):
    first, _ = snapshots(finished)
    F, ref_point, best = map(np.array, (first.front, first.ref_point, first.best))
    with EvaluationStore(finished) as store:
        values = [row.F for row in store.evaluations(1) if row.status == "ok"]
    np.testing.assert_array_equal(ref_point, np.max(values[:50], axis=0))
    share = hypervolume(F, ref=ref_point) / np.prod(ref_point - best)
    assert first.volume == pytest.approx(share, rel=1e-12)
    numbers, shares = zip(*first.curve, strict=True)
    assert list(numbers) == sorted(numbers)
    assert list(shares) == sorted(shares)


def test_a_growing_run_is_read_once(tmp_path):
    path = cases.run(tmp_path / "run.db", 60, budget=200)
    follower = Follower(path)
    before = follower.refresh()
    assert before.n_eval == 60
    read = []
    evaluations = EvaluationStore.evaluations

    def counted(self, run=None, *, after=0):
        for row in evaluations(self, run, after=after):
            read.append(row.n)
            yield row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluationStore, "evaluations", counted)
        assert follower.refresh().n_eval == 60
        assert read == []
        cases.run(path, 140, budget=200)
        after = follower.refresh()
    assert read == list(range(60, 140))
    (whole,) = snapshots(path)
    assert after.to_dict()["front"] == whole.to_dict()["front"]
    assert (after.n_failed, after.failures) == (whole.n_failed, whole.failures)
    follower.close()


def test_a_replaced_store_is_read_from_its_beginning(tmp_path):
    path = cases.run(tmp_path / "run.db", 60)
    follower = Follower(path)
    assert follower.refresh().n_eval == 60
    cases.run(tmp_path / "other.db", 40, seed=3)
    path.unlink()
    with pytest.raises(StoreError, match=r"There is no store .* Check the path"):
        follower.refresh()
    (tmp_path / "other.db").rename(path)
    assert follower.refresh().n_eval == 40
    follower.close()


def test_an_unknown_run_is_refused(finished):
    with pytest.raises(ValueError, match=r"one of the runs \[1, 2\].*Got 7"):
        Follower(finished, 7).refresh()


def test_terminal_shows_the_state(finished):
    (first, second) = snapshots(finished)
    text = "\n".join(lines_of(first, 100))
    for part in ("200 of 200", "done", "mass <b>", "hypervolume", "no mesh for #"):
        assert part in text
    assert "120 of 400" in "\n".join(lines_of(second, 100))
    assert max(map(len, lines_of(first, 50))) <= 50
    out = io.StringIO()
    watch(Follower(finished, 1), out=out)  # no terminal: once
    assert "200 of 200" in out.getvalue()


def test_a_store_that_is_missing_or_empty_is_told(tmp_path, assert_rejected):
    assert_rejected(["watch", tmp_path / "none.db", "--serve"], "There is no store")
    for words in ((), ("--once",), ("--serve",), ("--json",)):
        assert_rejected(["watch", tmp_path / "none.db", *words], "There is no store")
    (tmp_path / "notes.md").write_text("no store")
    assert_rejected(["watch", tmp_path / "notes.md"], "is not a store")
    for port in ("-1", "65536"):
        assert_rejected(["watch", tmp_path / "none.db", "--serve", "--port", port], "65535", port)
    for every in ("0", "soon", "1 week"):
        assert_rejected(["watch", tmp_path / "none.db", "--every", every], "--every", "positive")
    assert_rejected(["watch", tmp_path / "none.db", "--every", "30s"], "There is no store")
    assert_rejected(["watch", tmp_path / "none.db", "--port", "8000"], "--port", "no --serve")
    for once in ("--once", "--json"):
        assert_rejected(["watch", tmp_path / "none.db", "--serve", once], "--serve", once, "both")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_run_is_watched_until_it_is_done(tmp_path, monkeypatch):
    path = cases.run(tmp_path / "run.db", 60, budget=80)
    pauses = []

    def go_on(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            path.rename(tmp_path / "away.db")
        else:
            (tmp_path / "away.db").rename(path)
            cases.run(path, 80)

    monkeypatch.setattr("moela.watch.terminal.time.sleep", go_on)
    out = Terminal()
    watch(Follower(path), out=out)
    assert len(pauses) == 2
    text = out.getvalue()
    assert "60 of 80" in text
    assert "Waiting for it to come back." in text
    assert "80 of 80  done" in text


def test_a_store_of_a_stranger_does_not_steer_the_terminal(tmp_path, capsys):
    path = tmp_path / "run.db"

    def simulate(d):
        if d["x\x1b[2J"] > 0.9:
            raise ValueError("no mesh\x1b]0;pwned\x07")
        return d["x\x1b[2J"], 1 - d["x\x1b[2J"], d["kind"] == "\x1b[31m"

    simulate.__qualname__ = "simulate\x9b1m"
    simulate.__name__ = "\x1b[31m"
    result = moela.minimize(
        simulate,
        variables={"x\x1b[2J": (0.0, 1.0), "kind": ["\x1b[31m", "b"]},
        objectives=["m\x1b[31m", "r\x1b]0;pwned\x07", "k"],
        n_eval=40,
        store=path,
        on_error="infeasible",
        algorithm="nsga2",
        verbose=False,
        progress=False,
    )
    for words in (["watch"], ["explain"], ["runs"], ["runs", "--failures"], ["compare"]):
        main([words[0], str(path), *words[1:]])
    printed = capsys.readouterr()
    stored = moela.MinimizeResult.from_store(path)
    shown = [result, stored.front, stored.front[0], stored.importances(), stored.explain()]
    text = "".join([printed.out, printed.err, *map(repr, shown)])
    assert "pwned" in text
    assert [c for c in text if not (c.isprintable() or c == "\n")] == []


def test_pieces_of_the_terminal():
    assert sparkline([(0, 0.0), (10, 0.5), (20, 1.0)], 5) == "▁▁▅▅█"
    assert sparkline([], 5) == ""
    assert [duration(s) for s in (None, 5, 65, 3723)] == ["unknown", "5 s", "1:05", "1:02:03"]


def test_runs_are_listed(finished, capsys):
    heading, _, *lines = [line.split() for line in describe_runs(finished)] + [[]]
    assert {"run", "hypervolume", "left"} <= set(heading)
    assert "200/200" in str(lines) or "200/200" in str(describe_runs(finished))
    assert main(["runs", str(finished), "--failures"]) == 0
    assert capsys.readouterr().out.splitlines() == failure_lines(finished)
    assert main(["runs", str(finished), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["n_eval"], second["budget"]) == (200, 400)
    assert first["hypervolume"] == pytest.approx(first["curve"][-1][1])
    assert len(first["designs"]) == len(first["front"])
    assert main(["watch", str(finished), "--run", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_eval"] == 200
