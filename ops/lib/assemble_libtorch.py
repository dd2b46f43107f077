"""Assembles a CPU libtorch from wheels: assemble_libtorch.py DIRECTORY WHEEL...

The result has the layout of a libtorch download: include/, lib/ and build-version. lib/ holds libtorch_cpu.so with
every library of the wheels that it needs, directly or through others, and a libtorch.so that only links to it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def needed(library: Path) -> list[str]:
    """The sonames that a shared library asks for."""
    dynamic = subprocess.run(["readelf", "--dynamic", "--wide", str(library)], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", dynamic.stdout)


def soname(member: str) -> str:
    """The name that other libraries know a wheel's file by: vendored copies carry a hash, as in libgomp-1a2b3c4d.so.1."""
    return re.sub(r"-[0-9a-f]{8}(?=\.so)", "", Path(member).name)


def extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def link_stub(lib: Path) -> None:
    """libtorch.so, which is all that linkers and tch ask for by name."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "libtorch.c")
        source.write_text("void trainmaster_libtorch(void) {}\n")
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-o", str(lib / "libtorch.so"), str(source)]
            + ["-Wl,--no-as-needed", f"-L{lib}", "-ltorch_cpu", "-lc10"]
            + ["-Wl,-rpath,$ORIGIN", "-Wl,--allow-shlib-undefined"],
            check=True,
        )


def main() -> None:
    root, wheels = Path(sys.argv[1]), [zipfile.ZipFile(wheel) for wheel in sys.argv[2:]]
    lib = root / "lib"

    libraries = {}
    for archive in wheels:
        for member in archive.namelist():
            if ".so" in Path(member).name:
                libraries.setdefault(soname(member), (archive, member))
            elif member.startswith("torch/include/") and not member.endswith("/"):
                extract(archive, member, root / member.removeprefix("torch/"))

    wanted = ["libtorch_cpu.so", "libc10.so"]
    while wanted:
        name = wanted.pop()
        target = lib / name
        if name not in libraries or target.exists():
            continue
        extract(*libraries[name], target)
        target.chmod(0o755)
        # A vendored library may be asked for by its hashed name: keep that name too.
        for dependency in needed(target):
            wanted.append(dependency)
            plain = soname(dependency)
            if plain != dependency and plain in libraries:
                libraries[dependency] = libraries[plain]

    version = next(Path(wheel).name.split("-")[1] for wheel in sys.argv[2:] if Path(wheel).name.startswith("torch-"))
    (root / "build-version").write_text(version.split("+")[0] + "\n")
    link_stub(lib)


main()
