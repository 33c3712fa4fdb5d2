# SPDX-License-Identifier: MIT
"""The student: UGATIT's light generator (Kim et al. 2020), with the tensor names of its public PyTorch version.

Letters: B pictures, C = base channels, H and W = the picture's sides. The trunk has 4C channels at H/4 x W/4.
"""
import torch
from torch import nn
import torch.nn.functional as F

from layers import Conv, UpConv, affine, instance_norm, mixed_coefficients


class ResnetBlock(nn.Module):
    """x + IN(conv(ReLU(IN(conv(x))))), without a ReLU after the sum."""

    def __init__(self, c: int):
        super().__init__()
        self.conv_block = nn.ModuleDict({"1": Conv(c, c, 3), "5": Conv(c, c, 3)})

    def forward(self, x):
        y = instance_norm(self.conv_block["1"](x), relu=True)
        return x + instance_norm(self.conv_block["5"](y), relu=False)


class AdaILN(nn.Module):
    """Its gamma and beta, [B, C], come from the picture."""

    def __init__(self, c: int):
        super().__init__()
        self.rho = nn.Parameter(torch.full((1, c, 1, 1), 0.9))

    def forward(self, x, gamma, beta, relu: bool):
        return affine(x, relu, mixed_coefficients, self.rho, gamma, beta)


class ILN(nn.Module):
    """Its gamma and beta are learned; a ReLU follows."""

    def __init__(self, c: int):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, c, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x):
        return affine(x, True, mixed_coefficients, self.rho, self.gamma.flatten(1), self.beta.flatten(1))


class AdaILNBlock(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.conv1, self.norm1 = Conv(c, c, 3), AdaILN(c)
        self.conv2, self.norm2 = Conv(c, c, 3), AdaILN(c)

    def forward(self, x, gamma, beta):
        y = self.norm1(self.conv1(x), gamma, beta, relu=True)
        return x + self.norm2(self.conv2(y), gamma, beta, relu=False)


class Student(nn.Module):
    """RGB in [-1, 1] to RGB in [-1, 1]; H and W divisible by 4."""

    def __init__(self, c: int = 32):
        super().__init__()
        self.DownBlock = nn.ModuleDict({"1": Conv(3, c, 7), "5": Conv(c, 2 * c, 3, 2), "9": Conv(2 * c, 4 * c, 3, 2)})
        self.DownBlock.update({str(i): ResnetBlock(4 * c) for i in range(12, 16)})
        self.gap_fc = nn.Linear(4 * c, 1, bias=False)
        self.gmp_fc = nn.Linear(4 * c, 1, bias=False)
        self.conv1x1 = nn.Conv2d(8 * c, 4 * c, 1)
        self.FC = nn.Sequential(nn.Linear(4 * c, 4 * c, bias=False), nn.ReLU(),
                                nn.Linear(4 * c, 4 * c, bias=False), nn.ReLU())
        self.gamma = nn.Linear(4 * c, 4 * c, bias=False)
        self.beta = nn.Linear(4 * c, 4 * c, bias=False)
        for i in range(1, 5):
            setattr(self, f"UpBlock1_{i}", AdaILNBlock(4 * c))
        self.UpBlock2 = nn.ModuleDict({"2": UpConv(4 * c, 2 * c), "3": ILN(2 * c), "7": UpConv(2 * c, c), "8": ILN(c),
                                       "11": Conv(c, 3, 7)})
        self.initialise()

    def initialise(self) -> None:
        """Fan-in scaled, not the published N(0, 0.02); the attention begins near the identity, beta near zero."""
        trunk = self.conv1x1.out_channels
        with torch.no_grad():
            self.gap_fc.weight.fill_(1)
            self.gmp_fc.weight.fill_(1)
            nn.init.kaiming_normal_(self.conv1x1.weight)
            self.conv1x1.weight.mul_(0.1)
            self.conv1x1.weight[:, :trunk, 0, 0] += torch.eye(trunk)
            self.conv1x1.bias.zero_()
            nn.init.kaiming_normal_(self.FC[0].weight)
            nn.init.kaiming_normal_(self.FC[2].weight)
            self.beta.weight.mul_(0.1)
            self.UpBlock2["11"].weight.mul_(0.3)

    def forward(self, x):
        return self.with_trunk(x)[0]

    def with_trunk(self, x):
        """The drawing, and the trunk's features half-way and at its end, for helpers that training throws away."""
        down, up = self.DownBlock, self.UpBlock2
        for i in ("1", "5", "9"):
            x = instance_norm(down[i](x), relu=True)
        for i in range(12, 16):
            x = down[str(i)](x)
        half_way = x
        x = torch.cat((x * self.gap_fc.weight[:, :, None, None], x * self.gmp_fc.weight[:, :, None, None]), 1)
        x = F.relu(self.conv1x1(x))
        style = self.FC(x.mean((2, 3)))
        gamma, beta = self.gamma(style), self.beta(style)
        for i in range(1, 5):
            x = getattr(self, f"UpBlock1_{i}")(x, gamma, beta)
        end = x
        x = up["8"](up["7"](up["3"](up["2"](x))))
        return torch.tanh(up["11"](x).float()), half_way, end

    @torch.no_grad()
    def clip_rho(self) -> None:
        for name, p in self.named_parameters():
            if name.endswith("rho"):
                p.clamp_(0, 1)
