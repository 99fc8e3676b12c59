"""Expert parallelism on two processes over gloo."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("torch")

WORKER = textwrap.dedent("""
    import sys, warnings
    warnings.simplefilter("error")
    import torch, torch.distributed as dist
    from moe_costmodel.kernels import BufferedExperts, Experts, ExpertParallel, reference, route
    rank, store = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    experts = Experts.random(6, 8, 12, gated=True, activation="silu")
    generator = torch.Generator().manual_seed(rank)
    gate = torch.randn(6, 8, generator=torch.Generator().manual_seed(9))
    for device_of in ([0] * 6, [0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 0]):
        device_of = torch.tensor(device_of)
        own = experts.subset(torch.where(device_of == rank)[0].tolist())
        buffered = BufferedExperts(own, 1)
        for n_tokens in ((11, 23), (0, 5), (4, 0), (0, 0)):
            x = torch.randn(n_tokens[rank], 8, generator=generator)
            ids, weights = route(x, gate, 3)
            weights = torch.where(ids == 2, 0.0, weights)
            expected = reference(x, ids, weights, experts)
            for local in (own, buffered):
                got = ExpertParallel(local, device_of)(x, ids, weights)
                assert got.shape == x.shape
                # As in test_kernels: the errors of the kernels in float32 are at most 3e-7.
                assert torch.allclose(got.double(), expected, atol=1e-5), (rank, n_tokens)
        assert (buffered.statistics.misses > 0) is (own.n_experts > 0)
    layer, x, weights = ExpertParallel(own, device_of), torch.ones(1, 8), torch.ones(1, 2)
    for bad in (-1, 6):
        try:
            layer(x, torch.tensor([[0, bad]]), weights)
        except ValueError as error:
            assert "'ids'" in str(error) and "0 .. 5" in str(error)
        else:
            raise AssertionError("an id that is no expert went unnoticed")
    try:
        ExpertParallel(experts, torch.zeros(6, dtype=torch.int64) + rank)
        ExpertParallel(experts.subset([0]), torch.tensor([0, 0, 1, 1]))
    except ValueError as error:
        assert "device_of" in str(error)
    else:
        raise AssertionError("wrong device_of went unnoticed")
    dist.barrier()
    dist.destroy_process_group()
    print("done")
""")


def test_two_processes_give_the_reference(tmp_path):
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for worker in workers:
        out, error = worker.communicate(timeout=120)
        assert worker.returncode == 0, error
        assert "done" in out
