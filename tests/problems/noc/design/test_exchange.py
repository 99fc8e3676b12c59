"""Files for the released code and graph programs, and running other programs."""

import sys
import tracemalloc

import networkx as nx
import numpy as np
import pytest

from problems.noc import Design
from problems.noc.design.programs import run_program


def test_what_a_program_that_hangs_said_last_is_told(tmp_path):
    words = ["sh", "-c", "echo Possible network deadlock; exec sleep 30"]
    with pytest.raises(RuntimeError, match=r"BookSim did not end .*Possible network deadlock"):
        run_program("BookSim", words, tmp_path, 1.0)


def test_missing_simulators_are_named(design, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"No program named booksim or booksim2.*to_booksim"
    ):
        design.simulate_booksim(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"No program named hotspot.*to_hotspot"):
        design.simulate_hotspot(tmp_path / "out")


def test_the_output_of_a_program_takes_little_memory(tmp_path):
    words = [sys.executable, "-c", "print('x' * 2**26); print('last')"]
    tracemalloc.start()
    code, printed = run_program("Test", words, tmp_path, 60.0)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert code == 0
    assert printed.endswith("x\nlast\n")


def test_what_a_program_prints_need_not_be_utf8(tmp_path):
    words = [sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'\xff\0 5')"]
    assert run_program("Test", words, tmp_path, 60.0) == (0, "\ufffd\0 5")


def test_released_csv_files_are_read_and_written(design, tmp_path):
    placement, links = tmp_path / "p.csv", tmp_path / "l.csv"
    design.to_csv(placement, links)
    assert len(placement.read_text().split(",")) == 64
    assert len(links.read_text().splitlines()) == 144
    assert Design.from_csv(placement, links) == design
    # Without vertical links, with reversed ends, and separated by spaces.
    links.write_text("\n".join(f"{b} {a}" for a, b in design.planar_links.tolist()))
    assert Design.from_csv(placement, links) == design
    matrix = np.zeros((64, 64), dtype=int)
    matrix[tuple(design.all_links().T)] = 1
    np.savetxt(links, matrix, fmt="%d", delimiter=",")
    assert Design.from_csv(placement, links) == design


def test_stored_designs_of_the_released_evaluator_survive_csv(noc_data, tmp_path):
    stored = np.load(noc_data / "released_evaluator_designs.npz", allow_pickle=False)
    for i in (0, 17, 49):
        np.savetxt(tmp_path / "p.csv", stored["placement"][i][None], fmt="%d", delimiter=",")
        np.savetxt(tmp_path / "l.csv", stored["links"][i], fmt="%d", delimiter=",")
        design = Design.from_csv(tmp_path / "p.csv", tmp_path / "l.csv")
        np.testing.assert_array_equal(design.placement, stored["placement"][i])
        pairs = np.sort(stored["links"][i], axis=1).tolist()
        assert sorted(map(tuple, pairs)) == sorted(map(tuple, design.all_links().tolist()))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("p.csv", "1 2 3", r"p.csv: must be a PE id for each of 64 tiles. Got 3"),
        ("p.csv", "1 two 3", r"p.csv: field 'row 1, column 2' must be an integer. Got 'two'"),
        ("p.csv", "0 " * 64, r"p.csv, .*l.csv: A Design breaks a rule: .* each PE once"),
        ("l.csv", "0,1\n0,1,2\n", r"l.csv: field 'row 2' must be two tiles .* Got 3 numbers"),
        ("l.csv", "0,1\n", r"l.csv: A Design breaks a rule: .* 96 planar links. Got 1"),
    ],
)
def test_a_wrong_csv_file_is_named(design, tmp_path, file, content, message):
    design.to_csv(tmp_path / "p.csv", tmp_path / "l.csv")
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        Design.from_csv(tmp_path / "p.csv", tmp_path / "l.csv")


def test_networkx_reads_the_graphml(problem, design, tmp_path):
    loads = problem.link_loads(problem.encode(design))
    design.to_graphml(tmp_path / "noc.graphml", loads)
    graph = nx.read_graphml(tmp_path / "noc.graphml", node_type=int)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (64, 144)
    for tile, data in graph.nodes(data=True):
        assert data["pe"] == design.placement[tile]
        assert (data["x"], data["y"], data["z"]) == design.platform.position(tile)
        assert data["power"] == design.platform.power[data["pe"]]
    for k, (a, b) in enumerate(design.all_links().tolist()):
        edge = graph.edges[a, b]
        assert edge["load"] == loads[k]
        assert edge["vertical"] == (k >= 96)
        assert edge["cycles"] == 5 + np.ceil(edge["length"] - 1e-9)
    cpus = [t for t, kind in graph.nodes(data="type") if kind == "CPU"]
    assert len(cpus) == 8
    with pytest.raises(ValueError, match="'loads' parameter of to_graphml must be 144 numbers"):
        design.to_graphml(tmp_path / "noc.graphml", loads[:9])
