# SPDX-License-Identifier: MIT
"""Measure drawings against the teacher's, on one picture squeezed to 256 x 256.

    python3 evaluate.py --teacher TEACHER.safetensors --picture PORTRAIT.png --weights WEIGHTS.safetensors

Weights as shipped (half precision in the file, computed here in single). Prints PSNR, SSIM by two definitions, and
gradient energy, the sum of squared forward differences of luma, as a ratio to the teacher's. All of it is measured
on the 8-bit pictures. With --out, saves picture | student, and with --sheet picture | teacher | student.
"""
import argparse

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
import torch

import tensors
from student import Student
from teacher import Teacher, from_bytes, to_bytes

LUMA = np.array([0.299, 0.587, 0.114])


def squeeze(path: str, side: int = 256) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((side, side), Image.BILINEAR))


def gradient_energy(picture: np.ndarray) -> float:
    luma = picture @ LUMA
    return float((np.diff(luma, axis=0) ** 2).sum() + (np.diff(luma, axis=1) ** 2).sum())


def load_student(path: str) -> Student:
    weights, metadata = tensors.load(path)
    student = Student(int(metadata["channels"]))
    student.load_state_dict(weights)
    return student


@torch.no_grad()
def draw(network, photo: np.ndarray) -> np.ndarray:
    return to_bytes(network(from_bytes(photo[None]).contiguous(memory_format=torch.channels_last)))[0]


def measure(drawn: np.ndarray, wanted: np.ndarray) -> dict:
    return {
        "psnr_db": peak_signal_noise_ratio(wanted, drawn, data_range=255),
        "ssim_flat_7": structural_similarity(wanted, drawn, data_range=255, channel_axis=2),
        "ssim_gaussian_11": structural_similarity(wanted, drawn, data_range=255, channel_axis=2, gaussian_weights=True,
                                                  sigma=1.5, use_sample_covariance=False),
        "gradient_energy_ratio": gradient_energy(drawn) / gradient_energy(wanted),
    }


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--teacher", required=True)
    args.add_argument("--picture", required=True)
    args.add_argument("--weights", required=True)
    args.add_argument("--out")
    args.add_argument("--sheet")
    args.add_argument("--zoom", type=int, default=2)
    args = args.parse_args()
    torch.set_num_threads(2)
    photo = squeeze(args.picture)
    wanted, drawn = draw(Teacher(args.teacher), photo), draw(load_student(args.weights), photo)
    for name, value in measure(drawn, wanted).items():
        print(f"{name} {value:.4f}")
    for path, pictures in ((args.out, (photo, drawn)), (args.sheet, (photo, wanted, drawn))):
        if path:
            row = Image.fromarray(np.concatenate(pictures, 1))
            row.resize((row.width * args.zoom, row.height * args.zoom), Image.BICUBIC).save(path, optimize=True)


if __name__ == "__main__":
    main()
