"""The image, as far as it can be looked at without a builder of images."""

import re
import struct

FILE = "deploy/Dockerfile"
# What gcr.io/distroless/cc-debian12 has.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}


def test_hadolint_finds_nothing(tool, root):
    assert tool("hadolint", root / FILE) == (0, "")


def test_hadolint_finds_what_is_spoiled(tool, root, tmp_path):
    spoiled = tmp_path / "Dockerfile"
    spoiled.write_text(re.sub(r"(?m)^FROM rust:\S+", "FROM rust:latest", (root / FILE).read_text()))
    code, said = tool("hadolint", spoiled)
    assert code != 0 and "DL3007" in said


def test_the_last_stage_has_every_library_of_the_binary(binary):
    needed = {name for name in libraries(binary) if not name.startswith("ld-linux")}
    assert needed, "a static binary would need no libraries at all, and another last stage"
    assert needed <= LIBRARIES


def test_it_runs_as_nobody_with_a_health_check_and_names_its_configuration(root):
    last = (root / FILE).read_text().rpartition("\nFROM ")[2]
    assert re.search(r"(?m)^USER 65532:65532$", last)
    assert re.search(r'(?m)^CMD \["run", "--config", "/etc/rialto"\]$', last)
    assert re.search(r'(?ms)^HEALTHCHECK .*?CMD \["/usr/local/bin/rialto", "health"', last)


def libraries(file):
    """The DT_NEEDED entries of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5)."""
    with open(file, "rb") as opened:
        elf = opened.read()
    assert elf[:6] == b"\x7fELF\x02\x01", "no 64-bit little-endian ELF file"
    start, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", elf, start + at * size) for at in range(count)]
    loaded = [(header[3], header[2], header[5]) for header in headers if header[0] == 1]
    dynamic = next(header for header in headers if header[0] == 2)
    entries = [struct.unpack_from("<QQ", elf, dynamic[2] + at) for at in range(0, dynamic[5], 16)]
    strings = next(value for tag, value in entries if tag == 5)
    table = next(offset + strings - address for address, offset, length in loaded if address <= strings < address + length)
    names = (table + value for tag, value in entries if tag == 1)
    return [elf[at : elf.index(b"\0", at)].decode() for at in names]
