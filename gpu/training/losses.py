# SPDX-License-Identifier: MIT
"""What the student is asked for: the teacher's colours, its lines, and its local structure."""
import torch
import torch.nn.functional as F


def differences(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def gradient_loss(a: torch.Tensor, b: torch.Tensor, scales: int = 3) -> torch.Tensor:
    """L1 between forward differences, at full, half and quarter size."""
    total = 0.0
    for scale in range(scales):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + sum((p - q).abs().mean() for p, q in zip(differences(a), differences(b)))
    return total / scales


def ssim(a: torch.Tensor, b: torch.Tensor, window: int = 7, stride: int = 1, span: float = 2.0) -> torch.Tensor:
    """Mean structural similarity with a flat window, as scikit-image computes it by default; a stride samples it.

    Its luminance term is about light, so that [-1, 1] is first moved to [0, 2]."""
    a, b = a + 1, b + 1
    n = window * window
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    stack = torch.cat((a, b, a * a, b * b, a * b), 1)
    mean_a, mean_b, aa, bb, ab = F.avg_pool2d(stack, window, stride).chunk(5, 1)
    unbias = n / (n - 1)
    var_a, var_b = unbias * (aa - mean_a * mean_a), unbias * (bb - mean_b * mean_b)
    cov = unbias * (ab - mean_a * mean_b)
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    bottom = (mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2)
    return (top / bottom).mean()


def line_loss(a: torch.Tensor, b: torch.Tensor, window: int = 5) -> torch.Tensor:
    """L1 between local strengths of lines: root mean square differences in small windows. A line a pixel beside the
    teacher's costs nothing here, a missing or a blurred one does; without it, doubt is drawn as blur."""
    total = 0.0
    for p, q in zip(differences(a), differences(b)):
        strengths = [torch.sqrt(F.avg_pool2d(d * d, window, 2) + 1e-4) for d in (p, q)]
        total = total + (strengths[0] - strengths[1]).abs().mean()
    return total


def energy(x: torch.Tensor) -> torch.Tensor:
    """Sum of squared forward differences of luma."""
    luma = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    return sum(d.square().sum() for d in differences(luma))


def distillation_loss(drawn: torch.Tensor, wanted: torch.Tensor, lines: float, similarity: float) -> torch.Tensor:
    colours = (drawn - wanted).abs().mean()
    structure = 2.0 * gradient_loss(drawn, wanted) + similarity * (1 - ssim(drawn, wanted, stride=2))
    ink = torch.log(energy(drawn) / energy(wanted)).abs()
    return colours + structure + lines * (line_loss(drawn, wanted) + 0.05 * ink)


def helper_loss(drawn: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (drawn - wanted).abs().mean() + gradient_loss(drawn, wanted, scales=1)
