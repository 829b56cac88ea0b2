"""Embed every photograph of a folder, some at a time, and store what /compare needs.

python client/examples/embed_folder.py photographs --store embeddings.json --url http://127.0.0.1:8000

An embedding is personal data: encrypt the store, and delete it when the person withdraws consent.
"""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from facepair_client import AsyncFacepair, ServiceError

AT_A_TIME = 4


async def embed_folder(folder: Path, url: str) -> dict[str, Any]:
    """The embedding of each file's largest face, and of which model it is; files that cannot be used are named."""
    limit = asyncio.Semaphore(AT_A_TIME)
    async with AsyncFacepair(url) as service:

        async def embed(path: Path) -> dict[str, object]:
            async with limit:
                try:
                    answer = await service.embed(path, encoding_format="base64")
                except ServiceError as error:
                    return {"error": str(error)}
            return {"embedding": answer["data"][0]["embedding"], "conditions": answer["data"][0]["conditions"]}

        paths = sorted(path for path in folder.iterdir() if path.is_file())
        found = await asyncio.gather(*map(embed, paths))
        model = (await service.info())["model"]
    return {"model": model, "files": {path.name: each for path, each in zip(paths, found, strict=True)}}


def main() -> None:
    """Writes the store and prints how many files were embedded; the others are in it with their errors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("embeddings.json"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    store = asyncio.run(embed_folder(options.folder, options.url))
    options.store.write_text(json.dumps(store))
    embedded = sum("embedding" in each for each in store["files"].values())
    print(f"{options.store}: {embedded} of {len(store['files'])} files embedded")


if __name__ == "__main__":
    main()
