"""Generates four clients of a running service, compiles them, and lets each verify a pair of photographs.

python -m benchmarks.clients first.jpg second.jpg --environments FOLDER --install --url http://127.0.0.1:8000

It also runs the linters of Redocly and Spectral. Nothing is measured, and no record is written. It needs Node and Java.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

HERE = Path(__file__).parent
PYTHON_TOOLS = [
    "openapi-python-client==0.29.1", "openapi-generator-cli==7.26.0", "attrs", "httpx", "mypy", "pydantic",
    "python-dateutil", "ruff", "urllib3",
]  # fmt: skip
NODE_TOOLS = [
    "@redocly/cli@2", "@stoplight/spectral-cli@6", "openapi-typescript@7", "openapi-fetch@0", "typescript@5",
    "@types/node@20",
]  # fmt: skip
# What the linters may find: nobody has chosen a licence.
REDOCLY_FINDINGS = {"info-license": 1}
SPECTRAL_FINDINGS: dict[str, int] = {}
COMPILER_OPTIONS = {
    "strict": True, "module": "nodenext", "target": "es2022", "types": ["node"],
    "outDir": "compiled", "skipLibCheck": True,
}  # fmt: skip


class Tools:
    """The linters and generators in a folder outside the repository, and where their results go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.python = self.folder / "python" / "bin" / "python"
        self.node = self.folder / "node" / "node_modules" / ".bin"
        self.document = self.folder / "openapi.json"
        os.environ["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"  # generators call ruff

    def install(self) -> None:
        """Installs them from the registries of pip and npm."""
        run([sys.executable, "-m", "venv", self.folder / "python"])
        run([self.python, "-m", "pip", "install", "--quiet", *PYTHON_TOOLS])
        (self.folder / "node").mkdir(exist_ok=True)
        run(["npm", "install", "--prefix", self.folder / "node", *NODE_TOOLS])

    def lint(self) -> None:
        """Runs both linters. Raises AssertionError if they find anything but what is stated above."""
        found = run([self.node / "redocly", "lint", self.document, "--format=json"], check=False)
        redocly = Counter(each["ruleId"] for each in json.loads(found[found.index("{") :])["problems"])
        rules = self.folder / "spectral.yaml"
        rules.write_text('extends: ["spectral:oas"]\n')
        found = run(
            [self.node / "spectral", "lint", self.document, "--ruleset", rules, "--format", "json", "--quiet"],
            check=False,
        )
        spectral = Counter(each["code"] for each in json.loads(found or "[]"))
        print(f"redocly: {dict(redocly)}, spectral: {dict(spectral)}")
        assert (redocly, spectral) == (REDOCLY_FINDINGS, SPECTRAL_FINDINGS)

    def generate(self, generator: str, out: Path) -> None:
        """A client by a generator of openapi-generator."""
        script = self.python.with_name("openapi-generator-cli")
        run([script, "generate", "-i", self.document, "-g", generator, "-o", out, "--package-name", "generated"])


def run(command: Sequence[object], folder: Path | None = None, *, check: bool = True) -> str:
    """What a command prints. Raises CalledProcessError if it fails and `check` is true."""
    done = subprocess.run(list(map(str, command)), cwd=folder, check=False, text=True, capture_output=True)
    if check and done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
        done.check_returncode()
    return done.stdout


def openapi_python_client(tools: Tools, folder: Path, arguments: list[str]) -> str:
    script = tools.python.with_name("openapi-python-client")
    made = ["--output-path", folder / "generated", "--meta", "none"]
    run([script, "generate", "--path", tools.document, *made], folder)
    return _run_python(tools, folder, "verify_openapi_python_client.py", arguments)


def openapi_generator_python(tools: Tools, folder: Path, arguments: list[str]) -> str:
    tools.generate("python", folder / "made")
    shutil.move(folder / "made" / "generated", folder / "generated")
    return _run_python(tools, folder, "verify_openapi_generator.py", arguments)


def openapi_typescript(tools: Tools, folder: Path, arguments: list[str]) -> str:
    run([tools.node / "openapi-typescript", tools.document, "-o", folder / "generated.d.ts"])
    return _run_typescript(tools, folder, "verify_openapi_typescript.ts", arguments)


def openapi_generator_typescript(tools: Tools, folder: Path, arguments: list[str]) -> str:
    script = tools.python.with_name("openapi-generator-cli")
    # Without the second option its code imports models of forms that it leaves out.
    options = ["--additional-properties=importFileExtension=.js", "--global-property=skipFormModel=false"]
    run([script, "generate", "-i", tools.document, "-g", "typescript-fetch", "-o", folder / "generated", *options])
    return _run_typescript(tools, folder, "verify_typescript_fetch.ts", arguments)


def _run_python(tools: Tools, folder: Path, program: str, arguments: list[str]) -> str:
    """Compiles everything, checks the types of the program, and runs it."""
    shutil.copy(HERE / program, folder)
    run([tools.python, "-m", "compileall", "-q", "generated"], folder)
    run([tools.python, "-m", "mypy", "--follow-imports=silent", program], folder)
    return run([tools.python, program, *arguments], folder)


def _run_typescript(tools: Tools, folder: Path, program: str, arguments: list[str]) -> str:
    """Compiles everything strictly, and runs the program."""
    shutil.copy(HERE / program, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": COMPILER_OPTIONS, "files": [program]}))
    modules = folder / "node_modules"
    modules.symlink_to(tools.folder / "node" / "node_modules")
    run([tools.node / "tsc"], folder)
    return run(["node", folder / "compiled" / Path(program).with_suffix(".js").name, *arguments], folder)


CLIENTS: list[Callable[[Tools, Path, list[str]], str]] = [
    openapi_python_client,
    openapi_generator_python,
    openapi_typescript,
    openapi_generator_typescript,
]


def main() -> None:
    """Raises AssertionError if a client decides otherwise than the service does without one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--environments", type=Path, required=True, help="folder for the tools and the clients")
    parser.add_argument("--install", action="store_true", help="install the tools first")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    options.environments.mkdir(parents=True, exist_ok=True)
    tools = Tools(options.environments)
    if options.install:
        tools.install()
    tools.document.write_bytes(httpx.get(f"{options.url}/openapi.json").raise_for_status().content)
    tools.lint()
    files = {"image1": options.first.read_bytes(), "image2": options.second.read_bytes()}
    answer = httpx.post(f"{options.url}/v1/verify", files=files, data={"max_fmr": "0.01"}, timeout=35).json()
    expected = f"{answer['decision']} {answer['similarity']:.6f}"
    for verify in CLIENTS:
        folder = tools.folder / "clients" / verify.__name__
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        said = verify(tools, folder, [options.url, str(options.first.resolve()), str(options.second.resolve())])
        print(f"{verify.__name__}: {said.strip()}")
        assert said.strip() == expected, expected


if __name__ == "__main__":
    main()
