"""What several processes that train one network have to say to each other about a step."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def are_several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def shares_of_rows(counts: list[int], device: torch.device) -> Tensor:
    """Of each term its rows here over the mean of all processes: so weighted, their mean is a mean over rows. 0 where nobody has any.

    Stays on the device: nothing waits for it.
    """
    own = torch.tensor(counts, dtype=torch.float32).to(device, non_blocking=True)
    together = own.clone()
    distributed.all_reduce(together)
    return torch.where(together > 0, own * distributed.get_world_size() / together.clamp(min=1), torch.zeros_like(own))


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes in order of rank, as many as each has.

    Gradients reach the own rows alone, times the number of processes: all have the same loss of the same rows, so the mean over processes
    of what each adds for its own rows is that loss's gradient. Nobody waits for another in the backward pass, whoever has no rows.
    """
    world = distributed.get_world_size()
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world)]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    most = max(int(count) for count in counts)
    if most == 0:
        return rows
    padded = torch.cat([rows.detach(), rows.new_zeros((most - len(rows), *rows.shape[1:]))]).contiguous()
    everyone = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(everyone, padded)
    parts = [part[: int(count)] for part, count in zip(everyone, counts, strict=True)]
    if rows.requires_grad:
        parts[distributed.get_rank()] = rows.detach() + world * (rows - rows.detach())  # the same values
    return torch.cat(parts)
