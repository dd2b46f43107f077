"""Makes directories of images and labels from two wheels: make_images.py NILEARN STARDIST DIRECTORY

brain/     The ICBM 152 template, a T1-weighted average of 152 brains at 1 mm, 197 by 233 by 189 voxels. It is one volume, so it is cut into
           slabs of 8 axial slices, with 4 slices between them left out, each a file of its own: what is held out is then not what was
           trained on, but it is of the same brain. Labels: 1 grey matter, 2 white matter, 0 the rest, whichever is likeliest.
nuclei/    A micrograph of nuclei, 512 by 512 pixels, cut into 16 squares. Labels: 1 nucleus, 0 the rest.
"""

import gzip
import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

SLAB = 8
STRIDE = 12
SIDE = 128
TEMPLATE = "nilearn/datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
NUCLEI = "stardist/data/images/{}2d.tif"


def volume(wheel, tissue):
    """Header and voxels, which are bytes."""
    data = gzip.decompress(wheel.read(TEMPLATE.format(tissue)))
    header = bytearray(data[:348])
    if struct.unpack_from("<i", header)[0] != 348 or struct.unpack_from("<h", header, 70)[0] != 2:
        sys.exit(f"{TEMPLATE.format(tissue)} is no volume of bytes")
    return header, data[int(struct.unpack_from("<f", header, 108)[0]) :]


def write_slab(path, header, first, voxels):
    """Slices from `first` on, where they are in the brain."""
    header = bytearray(header)
    struct.pack_into("<h", header, 46, SLAB)
    struct.pack_into("<f", header, 108, 352)
    step = struct.unpack_from("<f", header, 88)[0]
    for offset in (276, 324):
        (origin,) = struct.unpack_from("<f", header, offset)
        struct.pack_into("<f", header, offset, origin + first * step)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as compressed:
        compressed.write(bytes(header) + bytes(4) + voxels)


def make_brain(wheel, directory):
    header, t1 = volume(wheel, "t1")
    grey, white = volume(wheel, "gm")[1], volume(wheel, "wm")[1]
    width, height, slices = struct.unpack_from("<3h", header, 42)
    size = width * height
    for name in ("images", "labels"):
        (directory / name).mkdir(parents=True)
    for first in range(0, slices - SLAB + 1, STRIDE):
        part = slice(first * size, (first + SLAB) * size)
        labels = bytes(
            0 if 255 - g - w >= g and 255 - g - w >= w else 1 if g >= w else 2 for g, w in zip(grey[part], white[part])
        )
        if labels.count(0) < 0.99 * len(labels):
            name = f"slices-{first:03}.nii.gz"
            write_slab(directory / "images" / name, header, first, t1[part])
            write_slab(directory / "labels" / name, header, first, labels)


def picture(wheel, name):
    """Pixels of an uncompressed TIFF of one strip, 16 bits each, of 512 by 512."""
    data = wheel.read(NUCLEI.format(name))
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    tags = {}
    for entry in range(count):
        tag, _, _, value = struct.unpack_from("<HHII", data, directory + 2 + 12 * entry)
        tags[tag] = value
    if data[:4] != b"II*\0" or (tags[256], tags[257], tags[259] & 0xFFFF) != (512, 512, 1):
        sys.exit(f"{NUCLEI.format(name)} is not as it was")
    return struct.unpack_from(f"<{512 * 512}H", data, tags[273])


def png(rows, bits):
    """Grey rows as a PNG."""
    width, height = len(rows[0]), len(rows)
    kind = "B" if bits == 8 else "H"
    raw = b"".join(b"\0" + struct.pack(f">{width}{kind}", *row) for row in rows)
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")):
        out.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    return out.getvalue()


def make_nuclei(wheel, directory):
    for name in ("images", "labels"):
        (directory / name).mkdir(parents=True)
    image = picture(wheel, "img")
    nuclei = [min(nucleus, 1) for nucleus in picture(wheel, "mask")]
    for top in range(0, 512, SIDE):
        for left in range(0, 512, SIDE):
            for name, pixels, bits in (("images", image, 16), ("labels", nuclei, 8)):
                rows = [pixels[512 * y + left : 512 * y + left + SIDE] for y in range(top, top + SIDE)]
                (directory / name / f"nuclei-{top // SIDE}-{left // SIDE}.png").write_bytes(png(rows, bits))


def main():
    nilearn, stardist, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    with zipfile.ZipFile(nilearn) as wheel:
        make_brain(wheel, directory / "brain")
    with zipfile.ZipFile(stardist) as wheel:
        make_nuclei(wheel, directory / "nuclei")


main()
