"""Expert parallelism: experts on several processes that exchange tokens by torch.distributed."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from moe_costmodel._checks import invalid, require
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import combine, products_of, sort_by_expert
from moe_costmodel.kernels.experts import Experts, check_layer, check_no_gradient

__all__ = ["ExpertParallel"]


class ExpertParallel:
    """An MoE layer whose experts are spread over the processes of a group.

    A call exchanges sizes, then tokens, runs the local experts, and sends the results back
    (arXiv 2303.06182, section 4). If the local experts are buffered, missing experts are copied
    while the tokens are exchanged. The backend is gloo on CPUs and nccl on GPUs. There are no
    gradients.

    Parameters
    ----------
    experts : Experts or BufferedExperts
        The experts of this process, in ascending order of their global ids.
    device_of : Tensor of shape (n_experts,), integer
        Rank within the group that holds each expert.
    group : ProcessGroup, optional
        An initialized process group; by default the default group.

    Raises
    ------
    ValueError
        If `device_of` does not give this rank as many experts as it has, or names a rank outside
        the group.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import ExpertParallel, Experts
    >>> torch.distributed.init_process_group("gloo")  # doctest: +SKIP
    >>> layer = ExpertParallel(
    ...     Experts.random(4, 8, 16), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    ... )  # doctest: +SKIP
    """

    def __init__(
        self,
        experts: Experts | BufferedExperts,
        device_of: Tensor,
        *,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self.experts = experts
        self.group = group
        self.world = dist.get_world_size(group)
        rank = dist.get_rank(group)
        local = experts.slow if isinstance(experts, BufferedExperts) else experts
        if len(device_of) == 0 or int(device_of.min()) < 0 or int(device_of.max()) >= self.world:
            expected = f"ranks in 0 .. {self.world - 1}"
            raise invalid("ExpertParallel", "device_of", device_of.tolist(), expected)
        n_local = int((device_of == rank).sum())
        expected = f"such that rank {rank} holds its {local.n_experts} experts"
        require("ExpertParallel", "device_of", n_local, n_local == local.n_experts, expected)
        # Choices sorted by the position of their expert in order of (rank, id) are grouped by rank.
        order = torch.argsort(device_of, stable=True)
        self._place_of = torch.empty_like(order)
        self._place_of[order] = torch.arange(len(order), device=order.device)
        self._held = torch.bincount(device_of, minlength=self.world).tolist()
        self._local = local
        # Buffers compute in the type of their fast memory.
        computing = experts.fast if isinstance(experts, BufferedExperts) else experts
        self._dtype = computing.up.dtype
        self._rank = rank

    def __call__(self, x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the layer's output for the tokens of this process; parameters as for any kernel.

        All processes of the group must call, each with its own tokens (there may be none).
        """
        n_experts = len(self._place_of)
        check_layer(x, ids, weights, self._local, dtype=self._dtype, n_experts=n_experts)
        check_no_gradient("ExpertParallel", x, weights, self._local)
        order, counts = sort_by_expert(self._place_of[ids.long()], weights, n_experts)
        outgoing = [int(part.sum()) for part in torch.split(counts, self._held)]

        own = self._held[self._rank]
        sizes = torch.empty(self.world * own, dtype=counts.dtype, device=counts.device)
        dist.all_to_all_single(sizes, counts, [own] * self.world, self._held, group=self.group)
        by_source = sizes.view(self.world, own)
        incoming = by_source.sum(dim=1).tolist()
        totals = by_source.sum(dim=0)

        received = x.new_empty(sum(incoming), x.shape[1])
        sent = x.index_select(0, order // ids.shape[1])
        exchange = dist.all_to_all_single(
            received, sent, incoming, outgoing, group=self.group, async_op=True
        )
        if isinstance(self.experts, BufferedExperts):
            plan = self.experts.plan(totals.tolist())
            loaded = self.experts.fetch(plan)
        exchange.wait()

        # Received tokens are ordered by (source, expert), but the products need them by expert.
        expert = torch.arange(own, device=sizes.device).repeat(self.world).repeat_interleave(sizes)
        regroup = expert.argsort(stable=True)
        grouped = received[regroup]
        if isinstance(self.experts, BufferedExperts):
            computed = self.experts.run(plan, loaded, grouped, totals.tolist())
        else:
            computed = products_of(grouped, totals, self.experts)
        answers = torch.empty_like(computed)
        answers[regroup] = computed
        returned = x.new_empty(len(order), x.shape[1])
        dist.all_to_all_single(returned, answers, outgoing, incoming, group=self.group)
        return combine(returned, order, weights)
