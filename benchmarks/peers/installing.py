"""Where the peers are installed: a folder outside the repository with one environment for each, at pinned versions."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from model.imaging.detection import installed_detector

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent

# face_recognition asks for the package dlib, which is compiled here; dlib-bin has the same modules, compiled.
PYTHON_PACKAGES = {
    "litserve": ["litserve==0.2.19"],
    "ray": ["ray[serve]==2.60.0"],
    "dlib": [
        "--no-deps", "dlib-bin==20.0.1.post1", "face-recognition==1.3.0", "face-recognition-models==0.3.0",
        "setuptools==80.9.0",
    ],
}  # fmt: skip
# tfjs-node downloads a library while it is installed, so the backend is WebAssembly, which comes in its package.
NODE_PACKAGES = [
    "@vladmandic/face-api@1.7.15", "@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0", "sharp@0.35.5",
]  # fmt: skip
FASTAPI, FACE_API, MOBILEFACENET = "fastapi", "face-api", "mobilefacenet"
NAMES = (FASTAPI, *PYTHON_PACKAGES, FACE_API, MOBILEFACENET)


def install(folder: Path) -> None:
    """Makes the environments that are missing. They use this environment's packages, such as torch, besides their own.

    Raises CalledProcessError if a package cannot be installed.
    """
    for name, packages in PYTHON_PACKAGES.items():
        if not _mark(folder, name).exists():
            _run([sys.executable, "-m", "venv", "--clear", str(folder / name)])
            python = _python(folder, name)
            own = subprocess.check_output(
                [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
            ).strip()
            (Path(own) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
            _run([python, "-m", "pip", "install", *packages])
            _mark(folder, name).touch()
    if not _mark(folder, FACE_API).exists():
        (folder / FACE_API).mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder / FACE_API), *NODE_PACKAGES])
        _mark(folder, FACE_API).touch()


def installed(folder: Path, weights: Path, mobilefacenet: Path | None) -> dict[str, list[str]]:
    """The command of each peer that is installed. It still lacks the port."""
    found = {FASTAPI: [sys.executable, "-m", "benchmarks.peers.fastapi_server", str(weights)]}
    found |= {
        name: [_python(folder, name), "-m", f"benchmarks.peers.{name}_server", str(weights)]
        for name in PYTHON_PACKAGES
        if _mark(folder, name).exists()
    }
    if _mark(folder, FACE_API).exists():
        modules = folder / FACE_API / "node_modules"
        found[FACE_API] = ["node", str(SERVERS / "face_api_server.cjs"), str(modules)]
    if mobilefacenet:
        files = [str(mobilefacenet), str(installed_detector())]
        found[MOBILEFACENET] = [sys.executable, "-m", "benchmarks.peers.mobilefacenet_server", *files]
    return found


def _mark(folder: Path, name: str) -> Path:
    """The file that says that an environment is complete."""
    return folder / name / "installed"


def _python(folder: Path, name: str) -> str:
    return str(folder / name / "bin" / "python")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)
