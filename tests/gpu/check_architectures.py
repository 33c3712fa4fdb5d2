#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_architectures.py PROGRAM: machine code for every architecture is in the program.

nvcc puts the code of each file of kernels into a container: magic, version, header size, size; then
entries: kind (1 intermediate code, 2 machine code), version, header size, size, ..., architecture.
The disassembler that would list them (cuobjdump) is not part of every toolkit. Output is TAP."""
import struct
import sys

MAGIC = b"\x50\xed\x55\xba"
KIND = {1: "compute", 2: "sm"}
# What kernels run on: the tensor cores' on all, wgmma's on Hopper alone; and code for what is newer.
EVERYWHERE = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "compute_80"}
HOPPER = {"sm_90"}


def containers(data):
    """Sets of architectures, one for each container."""
    at = data.find(MAGIC)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", data, at + 6)
        end, place, found = at + header + size, at + header, set()
        while header == 16 and place + 32 <= end <= len(data):
            kind, _, entry_header, entry_size = struct.unpack_from("<HHIQ", data, place)
            (arch,) = struct.unpack_from("<I", data, place + 28)
            if kind not in KIND or entry_header < 32:
                break
            found.add("%s_%d" % (KIND[kind], arch))
            place += entry_header + entry_size
        if found:
            yield found
        at = data.find(MAGIC, at + 4)


def main():
    with open(sys.argv[1], "rb") as file:
        found = list(containers(file.read()))
    everywhere = [one for one in found if one == EVERYWHERE]
    hopper = [one for one in found if one == HOPPER]
    others = [one for one in found if one not in (EVERYWHERE, HOPPER)]
    checks = [
        ("kernels have code for every architecture", len(everywhere) >= 5),
        ("Hopper has kernels of its own", len(hopper) == 1),
        ("no file of kernels has other code", not others),
    ]
    for number, (name, is_so) in enumerate(checks, 1):
        print("%s %d - %s" % ("ok" if is_so else "not ok", number, name))
    for one in others:
        print("# %s" % ", ".join(sorted(one)))
    print("1..%d" % len(checks))
    return 0 if all(is_so for _, is_so in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
