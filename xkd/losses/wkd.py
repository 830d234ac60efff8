"""Wasserstein distillation of logits: probability that has to move from one class to another costs by how unlike the two classes are.

Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024, arXiv:2412.08139, WKD-L
with the label apart, as in the authors' code: -p_t log p_s of the label, and gamma times the transport cost between the softened
probabilities of the other classes, by Sinkhorn's iterations on exp(-cost / reg), which start from an even left side and end with it.

Classes i and j cost 1 - exp(-sharpen * d). The authors' d is 1 - CKA of the classes' features over the training set, or 1 - the cosine of
the teacher's classifier weights; neither is a reading. Here d is 1 - the cosine of the two classes' mean features about the mean of all
classes, means of the teacher's features in all labelled rows that were seen in training. A class that was not yet seen has d = 1 to all.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from xkd.losses.learned import Shape, Shapes, each_shape
from xkd.losses.logits import check_logits, labelled_class, mean_over
from xkd.losses.precision import in_float32
from xkd.losses.rows import of_length_one, require_equal_rows

EPS: Final = 1e-8  # the authors'


class WKD(nn.Module):
    """Of logits (B, K) and the teacher's (logits, features), features (B, D) or maps, with a target (B,); mean over labelled rows.

    A cross-entropy is part of it, so it does not vanish for like logits. Buffers, sized by `bind` and saved with the run: the mean
    features of each class (K, D) and how many rows they are of; they stay as they are in eval mode or without gradients. Of targets
    of class probabilities (B, K) the likeliest class is the label.
    """

    reads_several = True
    contract_teacher_shapes = ((3,), (5, 2, 2))

    means: Tensor
    counts: Tensor

    def __init__(self, gamma: float = 10.0, tau: float = 2.0, sharpen: float = 1.0, reg: float = 0.05, iterations: int = 10) -> None:
        super().__init__()
        if min(gamma, tau, sharpen, reg) <= 0 or iterations < 1:
            values = f"{gamma}, {tau}, {sharpen}, {reg} and {iterations}"
            raise ValueError(f"gamma, tau, sharpen, reg and iterations must be positive, got {values}")
        self.gamma, self.tau, self.sharpen, self.reg, self.iterations = gamma, tau, sharpen, reg, iterations
        self.register_buffer("means", torch.zeros(0, 0))
        self.register_buffer("counts", torch.zeros(0))

    def bind(self, student: Shapes, teacher: Shapes) -> None:
        (num_classes,), (width, *_) = _of_teacher(teacher)
        self.means, self.counts = torch.zeros(num_classes, width), torch.zeros(num_classes)

    @in_float32
    def forward(
        self,
        student: Float[Tensor, "b k"],
        teacher: tuple[Float[Tensor, "b k"], Float[Tensor, "b ..."]],
        target: Shaped[Tensor, "b ..."],
    ) -> Float[Tensor, ""]:
        _of_teacher(teacher)
        if not len(self.counts):
            raise ValueError("WKD has no class means yet: call bind(student_shape, teacher_shapes), or Distiller.bind() before training")
        logits, features = teacher
        check_logits(self, student, logits, least=3)
        require_equal_rows("WKD", features, logits)
        label, known = labelled_class(self, student, target)
        if self.training and torch.is_grad_enabled():
            self._remember(features.flatten(2).mean(2) if features.ndim > 2 else features, label & known[:, None])
        of_label = -(logits.softmax(1) * student.log_softmax(1) * label).sum(1)
        p_student, p_teacher = ((each / self.tau).masked_fill(label, -torch.inf).softmax(1) for each in (student, logits))
        moved = self._transport(p_student, p_teacher, label)
        return mean_over(of_label + self.gamma * moved, known)

    def _transport(
        self, p_student: Float[Tensor, "b k"], p_teacher: Float[Tensor, "b k"], label: Bool[Tensor, "b k"]
    ) -> Float[Tensor, " b"]:
        """What moving the student's probabilities to the teacher's costs; the label, of probability 0, takes no part."""
        cost = self._costs()
        kernel = (-cost / self.reg).exp()
        left = (~label).to(cost.dtype) / (label.shape[1] - 1)
        for _ in range(self.iterations):
            right = p_teacher / (left @ kernel + EPS)
            left = p_student / (right @ kernel.T + EPS)
        return (left * (right @ (kernel * cost).T)).sum(1)

    def _costs(self) -> Float[Tensor, "k k"]:
        seen = (self.counts > 0).to(self.means.dtype)[:, None]
        middle = (self.means * seen).sum(0) / seen.sum().clamp(min=1)
        unit = of_length_one((self.means - middle) * seen)
        return (1 - (-self.sharpen * (1 - unit @ unit.T)).exp()).clamp(min=0).fill_diagonal_(0.0)

    def _remember(self, features: Float[Tensor, "b d"], label: Bool[Tensor, "b k"]) -> None:
        member = label.to(features.dtype)
        counts = self.counts + member.sum(0)
        means = self.means + (member.T @ features - member.sum(0)[:, None] * self.means) / counts.clamp(min=1)[:, None]
        whole = means.isfinite().all()  # of a step that is not finite nothing stays
        self.means.copy_(torch.where(whole, means, self.means))
        self.counts.copy_(torch.where(whole, counts, self.counts))


def _of_teacher(side: Any) -> tuple[Shape, Shape]:
    """The shapes of its logits and features; `ValueError` where these are not what it has."""
    shapes = each_shape(side)
    if len(shapes) != 2 or len(shapes[0]) != 1 or len(shapes[1]) not in (1, 3):
        raise ValueError(
            f"WKD reads the teacher's logits (K,) and features (D,) or (D, H, W), got {list(shapes)}; give the term such as"
            " ('thermal.output', 'thermal.pooled')"
        )
    return shapes[0], shapes[1]
