"""How much of the student's gradient each term has: a wrong weight is the commonest way to lose accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.graph.distiller import Distiller

DROWNED = 0.02  # of the gradient, below which a term teaches next to nothing


@dataclass(frozen=True)
class GradientShares:
    """Norms of the terms' weighted gradients at one parameter of the student, over their sum; 0 for a term that does not reach it."""

    at: str
    shares: dict[str, float]

    def __str__(self) -> str:
        return f"gradient at {self.at}: " + ", ".join(f"{name} {100 * share:.3g} %" for name, share in self.shares.items())

    def drowned(self) -> list[str]:
        """Terms with a weight that have less than `DROWNED` of the gradient beside others."""
        return [name for name, share in self.shares.items() if 0 < share < DROWNED]


def gradient_shares(distiller: Distiller, batch: Batch) -> GradientShares:
    """At the student's last layer that every term reaches (that reaches it at all), by one pass forwards and one backwards per term.

    Leaves no trace: no gradient, running statistics, memory or random state is changed. All shares are 0 where no term reaches the
    student with this batch, such as one without labels while the other terms have not begun.
    """
    buffers = {name: buffer.clone() for name, buffer in distiller.named_buffers()}
    device = distiller.student.mean.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        readings = distiller.read(batch)
        parts = {name: term.weight_at(distiller.epoch) * distiller.part(name, readings, batch) for name, term in distiller.terms.items()}
        learned = {name: p for name, p in distiller.student.model.named_parameters() if p.requires_grad}
        weights = {name: p for name, p in learned.items() if p.ndim > 1} or learned  # a student may learn its biases alone
        gradients = {name: _gradient(part, list(weights.values())) for name, part in parts.items()}
    with torch.no_grad():
        for name, buffer in distiller.named_buffers():
            buffer.copy_(buffers[name])
    reached = {name: [g is not None and bool(g.any()) for g in of] for name, of in gradients.items()}
    reaching = [of for of in reached.values() if any(of)]
    most = max(sum(of[place] for of in reaching) for place in range(len(weights)))
    place = max(place for place in range(len(weights)) if sum(of[place] for of in reaching) == most)
    norms = {name: _norm(of[place]) for name, of in gradients.items()}
    total = sum(norms.values())
    return GradientShares(list(weights)[place], {name: norm / (total or 1.0) for name, norm in norms.items()})


def _gradient(part: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor | None, ...]:
    if not part.requires_grad:
        return (None,) * len(parameters)
    return torch.autograd.grad(part, parameters, retain_graph=True, allow_unused=True)


def _norm(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(gradient.float().norm())
