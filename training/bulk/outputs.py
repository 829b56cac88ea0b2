"""The files that bulk work ends in: Parquet or .npy with embeddings, tables of problems, and what made them.

Parts are read one after the other, so that a result may be larger than memory.

N rows, D embedding
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.errors import DataError, UnreadableFile
from model.files import replacing
from training.bulk.embedding import Embedded, parts_folder
from training.bulk.parts import can_read, read_part, refused

# Rows of a row group, which readers take at once: 16 MB of embeddings of 512 values.
GROUP_ROWS = 8192
METADATA_KEY = b"facepair"
PROBLEM_COLUMNS = ["path", "code", "detail"]
# Of a list in a cell of a CSV file; warnings have "; " in them.
SEPARATOR = " | "

Record = dict[str, Any]


def beside(out: Path, ending: str) -> Path:
    """The file next to a result: OUT.parquet and .json give OUT.json."""
    return out.with_name(out.stem + ending)


def written_by_embed(out: Path) -> list[Path]:
    """The files that `write_embeddings` writes."""
    rows = [".csv"] if out.suffix == ".npy" else []
    return [out, *(beside(out, ending) for ending in (*rows, ".problems.csv", ".json"))]


def require_own(out: Path, written: Sequence[Path], *, of_pairs: bool) -> None:
    """Raises DataError if a file that a command writes is there, and is not of its earlier result of the same --out.

    OUT.json says what made the files; `of_pairs` is for a result of `verify`, which has a rule in it. While a result is
    being written the first time there is only the folder of its parts.
    """
    try:
        record = json.loads(beside(out, ".json").read_bytes())
        own = record["file"] == out.name and ("rule" in record) == of_pairs
    except FileNotFoundError:
        own = parts_folder(out).is_dir()
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    there = [path for path in written if path.exists()]
    if there and not own:
        raise DataError(f"{there[0]}: is not an earlier result of this command; move it, or choose another --out")


def is_finished(out: Path, inputs_sha256: str, root: Path) -> bool:
    """Whether the command's own result is there and was made of these inputs.

    It is not finished if a file below `root` that could not be read can be read now.
    """
    try:
        record = json.loads(beside(out, ".json").read_bytes())
        if record["inputs_sha256"] != inputs_sha256 or not all(each.is_file() for each in written_by_embed(out)):
            return False
        with beside(out, ".problems.csv").open(newline="", encoding="utf-8") as file:
            unread = [row["path"] for row in csv.DictReader(file) if row["code"] == UnreadableFile.code]
        return not any(can_read(root / name) for name in unread)
    except (OSError, ValueError, KeyError, csv.Error):
        return False


def write_embeddings(out: Path, embedded: Embedded, dimension: int, record: Record) -> None:
    """Writes OUT.parquet, or OUT.npy (N, D) with OUT.csv for its rows, then OUT.problems.csv and OUT.json.

    OUT.json comes last, and says that the result is complete. Raises DataError if a file cannot be written.
    """
    with refused(out):
        if out.suffix == ".npy":
            _write_npy(out, embedded, dimension)
        else:
            _write_parquet(out, embedded, record)
        _write_csv(beside(out, ".problems.csv"), PROBLEM_COLUMNS, _problems(embedded))
        write_record(out, record)


def write_record(out: Path, record: Record) -> None:
    """Writes OUT.json. Raises DataError."""
    with refused(out), replacing(beside(out, ".json")) as partial:
        partial.write_text(json.dumps({"file": out.name, **record}, indent=1) + "\n")


class TableWriter:
    """Writes rows of a table, as CSV or as Parquet by the file's ending."""

    def __init__(self, partial: Path, out: Path, schema: pa.Schema) -> None:
        self._schema = schema
        if out.suffix == ".parquet":
            self._parquet: pq.ParquetWriter | None = pq.ParquetWriter(partial, schema)
            return
        self._parquet = None
        self._file = partial.open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)
        self._csv.writerow(schema.names)

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows with a value for each column."""
        if self._parquet:
            columns = list(map(list, zip(*rows, strict=True))) or [[] for _ in self._schema]
            self._parquet.write_table(pa.table(dict(zip(self._schema.names, columns, strict=True)), self._schema))
        else:
            self._csv.writerows([[_cell(value) for value in row] for row in rows])

    def close(self) -> None:
        """Finishes the file."""
        if self._parquet:
            self._parquet.close()
        else:
            self._file.close()


@contextmanager
def writing_table(out: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """A writer of OUT.csv or OUT.parquet, which is there when the block ends. Raises DataError."""
    with refused(out), replacing(out) as partial:
        writer = TableWriter(partial, out, schema)
        try:
            yield writer
        finally:
            writer.close()


def embedding_rows(embedded: Embedded) -> Iterator[pa.Table]:
    """The rows with an embedding, part by part."""
    for part in embedded.parts:
        table = read_part(part.path)
        yield table.filter(pc.is_null(table["code"]))


def values_of(table: pa.Table) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The embeddings (N, D) of rows that all have one."""
    column = table["embedding"].combine_chunks()
    values: np.ndarray[Any, np.dtype[np.float32]] = column.flatten().to_numpy()
    return values.reshape(len(table), column.type.list_size)


def _write_parquet(out: Path, embedded: Embedded, record: Record) -> None:
    schema: pa.Schema | None = None
    writer: pq.ParquetWriter | None = None
    with replacing(out) as partial:
        for table in _grouped(embedding_rows(embedded)):
            table = table.drop_columns(["code", "detail"])
            if writer is None:
                schema = table.schema.with_metadata({METADATA_KEY: json.dumps(record)})
                writer = pq.ParquetWriter(partial, schema, use_dictionary=False)
            writer.write_table(table.cast(schema), row_group_size=GROUP_ROWS)
        assert writer
        writer.close()


def _grouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of at least GROUP_ROWS, but for the last; at least one table."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= GROUP_ROWS:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _write_npy(out: Path, embedded: Embedded, dimension: int) -> None:
    shape = (embedded.embeddings, dimension)
    columns = ["row", "path", "sha256", "face", "faces_found", "conditions", "warnings"]

    def rows() -> Iterator[list[Any]]:
        written = 0
        for table in embedding_rows(embedded):
            values = values_of(table)
            file.write(values.astype("<f4").tobytes())  # `tofile` may fail in silence
            for each in table.select(columns[1:]).to_pylist():
                yield [written, *each.values()]
                written += 1

    with replacing(out) as partial, partial.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        _write_csv(beside(out, ".csv"), columns, rows())


def _problems(embedded: Embedded) -> Iterator[list[Any]]:
    for part in embedded.parts:
        table = read_part(part.path)
        for row in table.filter(pc.is_valid(table["code"])).select(PROBLEM_COLUMNS).to_pylist():
            yield list(row.values())


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[list[Any]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    return SEPARATOR.join(value) if isinstance(value, list) else value
