#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the vectors in tests/data/bilinear.txt with OpenCV.

Run with Debian 12's python3-opencv (4.6), whose resize has no processor's own variant with other roundings. The file is
committed, so the tests need no Python."""
import os

import cv2
import numpy
from make_pictures import HERE, fnv1a, pseudo_random

CASES = [(1, 1, 1, 1), (1, 1, 5, 7), (7, 5, 1, 1), (7, 5, 3, 4), (3, 4, 7, 5), (64, 64, 64, 64), (64, 48, 64, 17),
         (64, 48, 17, 48), (128, 96, 64, 48), (100, 37, 128, 128), (257, 255, 256, 256), (513, 300, 256, 256),
         (512, 512, 256, 256), (640, 480, 256, 256), (300, 900, 128, 64), (1000, 3, 10, 90), (1021, 769, 255, 193),
         (2, 700, 256, 256), (255, 256, 254, 255), (31, 33, 96, 97)]

with open(os.path.join(HERE, "bilinear.txt"), "w", encoding="ascii") as file:
    file.write("# in_width in_height out_width out_height seed fnv1a64, by make_bilinear.py\n")
    for seed, (w, h, ow, oh) in enumerate(CASES, 1):
        picture = numpy.asarray(pseudo_random(w, h, seed))
        resized = cv2.resize(picture, (ow, oh), interpolation=cv2.INTER_LINEAR)
        file.write("%d %d %d %d %d %016x\n" % (w, h, ow, oh, seed, fnv1a(resized.tobytes())))
