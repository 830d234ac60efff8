"""Numbers: how far the student's are from the labels, or from the teacher's.

The absolute error's answer is the median, that of the squared error the mean; smooth L1 is Huber's, as in Girshick, "Fast R-CNN", ICCV
2015, arXiv:1504.08083, equation 3, divided by beta as there. A network that gives the logarithm s of its variance behind each number m
learns it by exp(-s) (m - y)^2 / 2 + s / 2, Kendall and Gal, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer
Vision?", NeurIPS 2017, arXiv:1703.04977, equation 8 (where equation 5 has the variance). `VarianceKD` is the Kullback-Leibler divergence
of two normal distributions of the teacher's variance, KL(teacher || student) = (m_s - m_t)^2 / (2 sigma_t^2): rows of which the teacher
is unsure count less.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from xkd.losses.precision import in_float32


class L1(nn.Module):
    """Mean absolute error of numbers (B, D), in units of `scale`; zero if equal."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = _positive("scale", scale)

    @in_float32
    def forward(self, student: Float[Tensor, "b d"], teacher: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        _check_numbers(self, student, teacher)
        return F.l1_loss(student / self.scale, teacher / self.scale)


class SmoothL1(nn.Module):
    """Squared below errors of `beta` times `scale`, absolute above, of numbers (B, D), in units of `scale`; zero if equal."""

    def __init__(self, beta: float = 1.0, scale: float = 1.0) -> None:
        super().__init__()
        self.beta, self.scale = _positive("beta", beta), _positive("scale", scale)

    @in_float32
    def forward(self, student: Float[Tensor, "b d"], teacher: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        _check_numbers(self, student, teacher)
        return F.smooth_l1_loss(student / self.scale, teacher / self.scale, beta=self.beta)


class MSE(nn.Module):
    """Mean squared error of numbers (B, D), in squares of `scale`; zero if equal."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = _positive("scale", scale)

    @in_float32
    def forward(self, student: Float[Tensor, "b d"], teacher: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
        _check_numbers(self, student, teacher)
        return F.mse_loss(student / self.scale, teacher / self.scale)


class GaussianNLL(nn.Module):
    """Labels (B, D) under the student's normal distributions (B, 2 D), numbers and then logarithms of variances; without the constant."""

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [torch.randn((4, width), generator=generator, dtype=torch.float64) for width in (4, 2)]

    @in_float32
    def forward(self, student: Float[Tensor, "b d2"], teacher: Shaped[Tensor, "b ..."]) -> Float[Tensor, ""]:
        _check_vectors(self, student, teacher)
        numbers, logarithms = _halves(self, student, teacher.shape[1], "student")
        return (((numbers - teacher).square() * (-logarithms).exp() + logarithms) / 2).mean()


class VarianceKD(nn.Module):
    """Squared distance of numbers over twice the teacher's variance; the teacher is (B, 2 D), numbers and then logarithms of variances.

    The student is (B, D), or (B, 2 D) as the teacher, whose variances it does not imitate. `least` is added to the teacher's standard
    deviations (in squares), in the numbers' unit: a teacher that knows its training rows by heart is too sure of them.
    """

    def __init__(self, least: float = 0.0) -> None:
        super().__init__()
        if least < 0:
            raise ValueError(f"least must be 0 or more, got {least}")
        self.least = least

    @staticmethod
    def contract_inputs(generator: torch.Generator) -> list[Tensor]:
        return [torch.randn((4, width), generator=generator, dtype=torch.float64) for width in (2, 4)]

    @in_float32
    def forward(self, student: Float[Tensor, "b d"], teacher: Shaped[Tensor, "b ..."]) -> Float[Tensor, ""]:
        _check_vectors(self, student, teacher)
        if teacher.shape[1] % 2:
            raise ValueError(f"VarianceKD needs a teacher with numbers and as many variances, got {tuple(teacher.shape)}; others: L1, MSE")
        numbers, logarithms = _halves(self, teacher, teacher.shape[1] // 2, "teacher")
        if student.shape[1] not in (numbers.shape[1], teacher.shape[1]):
            raise ValueError(f"VarianceKD compares the same numbers, got {tuple(student.shape)} and {tuple(teacher.shape)}")
        distance = student[:, : numbers.shape[1]] - numbers
        return (distance.square() / (2 * (logarithms.exp() + self.least**2))).mean()


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return value


def _check_numbers(loss: nn.Module, student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:  # some unlike shapes would broadcast
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"{type(loss).__name__} compares the same numbers, got {shapes}; GaussianNLL and VarianceKD take variances too")


def _check_vectors(loss: nn.Module, student: Tensor, teacher: Tensor) -> None:
    if student.ndim != 2 or teacher.ndim != 2:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ValueError(f"{type(loss).__name__} compares numbers (B, D) of whole images, got {shapes}")


def _halves(loss: nn.Module, output: Tensor, count: int, side: str) -> tuple[Tensor, Tensor]:
    """Numbers, and the logarithms of their variances."""
    if output.shape[1] != 2 * count:
        name = type(loss).__name__
        raise ValueError(f"{name} needs the {side}'s {count} numbers and as many logarithms of variances, got {tuple(output.shape)}")
    return output[:, :count], output[:, count:]
