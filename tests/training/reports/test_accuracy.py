"""The accuracy page, from folders of finished runs with made-up scores."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from model.checkpoint import ChangedValue, Changes, Header
from model.errors import DataError
from model.similarity import OperatingPoint
from tests.conftest import describe
from tests.training.support.small_runs import ROW, write_run
from training.commands.report import LOG_FILE, write_report
from training.learning.experiments import ALIGNED
from training.reports import outside
from training.reports.literature import PUBLISHED, category
from training.runs.changed import ChangeRates, PointUnderChange, SharedChanges
from training.runs.records import (
    AllPairsRates,
    Bin,
    CalibrationDraws,
    Elsewhere,
    ErrorAnalysis,
    Fold,
    Outcome,
    RateAt,
    RatesAtThreshold,
    ScoredPair,
    Share,
    Spread,
    Variant,
    View2,
)
from training.runs.results import (
    ALL_PAIRS_FILE,
    ELSEWHERE_FOLDER,
    ERRORS_FILE,
    RESULT_FILE,
    SUMMARY_FILE,
    VARIANTS_FOLDER,
    VIEW2_FILE,
    compare_runs,
    read_run,
    write_summary,
)
from training.statistics.rates import Scores

NAMES = [f"P{person}/P{person}_{picture}" for person in range(8) for picture in range(3)]
PAIRS = list(combinations(NAMES, 2))[::2]
SAME = np.array([left[:2] == right[:2] for left, right in PAIRS])
PEOPLE_ROW = replace(ROW, validation_best_accuracy=0.9, validation_area=0.95)


def scores(noise: float) -> Scores:
    return np.clip(0.5 + np.where(SAME, 0.2, -0.2) + np.random.default_rng(0).normal(0, noise, len(PAIRS)), 0, 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured once, since the intervals take seconds."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "experiment-2", PAIRS, scores(0.3))
    write_run(folder / "experiment-1", PAIRS, scores(0.5))
    write_run(folder / "experiment-5", PAIRS, scores(0.1), calibrated=True, preprocessing=ALIGNED, row=PEOPLE_ROW)
    write_run(folder / "smoke", PAIRS, scores(0.5))
    for run in folder.iterdir():
        write_summary(run / SUMMARY_FILE, read_run(run).summary)
    (write_run(folder / "experiment-99", PAIRS, scores(0.5)) / RESULT_FILE).unlink()
    return folder


@pytest.fixture
def results(runs: Path, tmp_path: Path) -> Path:
    """Experiment 2, one that learned from people, straightened, and one that is not finished."""
    return copytree(runs, tmp_path / "results")


def page(results: Path) -> str:
    """The accuracy page; every picture that it shows is there."""
    out = results.parent / "out"
    text = next(path for path in write_report(results, out) if path.name == "accuracy.md").read_text()
    for picture in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (out / picture).read_bytes().startswith(b"\x89PNG"), picture
    return text


def row(text: str, first: str, column: str) -> str:
    """The cell of the first table that has such a column, in the row that begins so."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if column in cells and lines[number + 1].startswith("| ---"):
            for other in lines[number + 2 :]:
                found = [cell.strip() for cell in other.strip("|").split("|")]
                if found[0] == first:
                    return found[cells.index(column)]
    raise AssertionError(f"no table has {first} and {column}")


def test_each_page_has_its_runs(results: Path) -> None:
    accuracy = page(results)
    reproduction = (results.parent / "out" / "reproduction.md").read_text()
    assert "experiment-5" not in reproduction
    assert "experiment-1" in reproduction
    for name in ("experiment-1", "experiment-99", "smoke"):
        assert not re.search(rf"{name}\b", accuracy)
    assert accuracy.index("experiment-2") < accuracy.index("experiment-5")
    assert "BCE" not in accuracy


def change(folder: Path, *, field: str = "epochs") -> None:
    """Makes a finished run one with a changed value."""
    header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
    changes = Changes(experiment="experiment-5", values=(ChangedValue(field=field, named="40", value="3"),))
    provenance = header.provenance.model_copy(update={"changes": changes})
    (folder / RESULT_FILE).write_text(header.model_copy(update={"provenance": provenance}).model_dump_json())


def test_a_run_with_changed_values_is_not_taken_for_its_experiment(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name in ("experiment-5", "experiment-5-seed2", "experiment-5-epochs3", "experiment-5-epochs3-seed1"):
        write_run(results / name, PAIRS, scores(0.2), row=PEOPLE_ROW)
        if "epochs3" in name:
            change(results / name)
    text = page(results)
    assert row(text, "experiment-5-epochs3", "in the run") == "3"
    assert row(text, "experiment-5-epochs3-seed1", "in the experiment") == "40"
    # Seeds of one variant are one row, apart from its experiment's.
    assert row(text, "experiment-5 with epochs 3 (not 40)", "seeds") == "0, 0"
    assert row(text, "experiment-5", "seeds") == "0, 0"
    change(results / "experiment-5")
    with pytest.raises(DataError, match=r"experiment-5: is experiment-5 with epochs 3 \(not 40\); rename the folder"):
        write_report(results, results.parent / "out")


def test_a_run_that_started_from_a_checkpoint_has_no_category_of_the_literature() -> None:
    header = Header(**dict(describe()), canary_similarity=0.5, embedding_sha256="e" * 64)
    for value, expected in (
        ('"start": {"checkpoint": "experiment-7", "embedding_sha256": ""}', "started from experiment-7"),
        ('"teaching": {"teachers": ["one", "other"]}', "taught by one and other"),
    ):
        provenance = header.provenance.model_copy(update={"experiment": f'{{"held_out": {{}}, {value}}}'})
        learned = header.model_copy(update={"provenance": provenance})
        assert category(learned) == f"unrestricted, {expected}"


def test_accuracies_are_listed_with_published_ones(results: Path) -> None:
    text = page(results)
    metric = read_run(results / "experiment-5").metric("accuracy at threshold")
    assert metric.interval
    assert row(text, "**experiment-5**", "accuracy") == f"**{metric.value:.2%}**"
    assert row(text, "**experiment-5**", "95% over pairs") == f"{metric.interval[0]:.1%} to {metric.interval[1]:.1%}"
    assert re.fullmatch(r"[\d.]+% to [\d.]+%", row(text, "**experiment-5**", "95% over people"))
    assert row(text, "**experiment-2**", "category") == "image-restricted, no outside data"
    assert row(text, "**experiment-2**", "protocol") == "other pairs"
    assert "75.00%" in text
    for each in PUBLISHED:
        assert f"| {each.system} ({each.paper}) | {each.category} | View 2 | {each.accuracy:.2%}" in text
    error = float(np.mean((scores(0.1) - SAME) ** 2))
    assert row(text, "experiment-5", "Brier") == f"{error:.4f}"
    assert row(text, "experiment-5", "EER").startswith(f"{read_run(results / 'experiment-5').metric('EER').value:.2%}")


def test_runs_with_several_seeds_are_summarised(results: Path) -> None:
    assert "## Over seeds" not in page(results)
    write_run(
        results / "experiment-5-seed1", PAIRS, scores(0.3), calibrated=True, preprocessing=ALIGNED, row=PEOPLE_ROW
    )
    text = page(results)
    one, other = (
        read_run(results / name).metric("area under ROC").value for name in ("experiment-5", "experiment-5-seed1")
    )
    expected = f"{(one + other) / 2:.2%} ({min(one, other):.2%} to {max(one, other):.2%})"
    section = text.partition("## Over seeds")[2]
    assert row(section, "experiment-5", "area under ROC") == expected
    assert "| experiment-2 |" not in section.partition("##")[0]


def test_category_follows_lfw() -> None:
    plain = Header(**dict(describe()), canary_similarity=0.5, embedding_sha256="")
    aligned = plain.model_copy(update={"preprocessing": ALIGNED})
    experiment = plain.provenance.model_copy(update={"experiment": '{"held_out": {}}'})
    people = aligned.model_copy(update={"provenance": experiment})
    assert category(plain) == "image-restricted, no outside data"
    assert category(aligned) == "image-restricted, label-free outside data"
    assert category(people) == "unrestricted, label-free outside data"


def test_runs_are_compared_with_experiment_2(results: Path) -> None:
    text = page(results)
    test = compare_runs(read_run(results / "experiment-5"), read_run(results / "experiment-2"))
    assert test
    assert row(text, "experiment-5", "only it is right") == str(test.first_only)
    assert row(text, "experiment-5", "p") == f"{test.p_value:.2g}"


def test_runs_on_other_pairs_are_not_compared(results: Path) -> None:
    write_run(results / "other", [("A/1", "A/2"), ("A/1", "B/1"), ("B/1", "B/2")], np.array([0.9, 0.1, 0.8]))
    assert "| other |" not in page(results).partition("## Against")[2].partition("## ")[0]


def test_later_measurements_are_listed(results: Path) -> None:
    folder = results / "experiment-5"
    header = read_run(folder).header
    rates = (
        RateAt(max_fmr=0.01, fnmr=0.2, interval=(0.1, 0.3), even_fnmr=0.1, even_interval=(0.05, 0.2)),
        RateAt(max_fmr=0.001, fnmr=0.4, interval=(0.35, 0.45), even_fnmr=0.2, even_interval=(0.1, 0.4)),
    )
    found = AllPairsRates(
        name="experiment-5", checkpoint_sha256="c" * 64, people_list="people", images="pictures", data_sha256="d",
        people=8, pictures=24, missing=0, genuine=24, impostor=252, rates=rates,
    )  # fmt: skip
    (folder / ALL_PAIRS_FILE).write_text(found.model_dump_json())
    point = OperatingPoint(
        name="fmr_1e-2", max_fmr=0.01, threshold=0.9, fmr=0.0098, interval=(0.005, 0.02), split="held-out people",
        pairs=123456, people=600,
    )  # fmt: skip
    (folder / RESULT_FILE).write_text(header.model_copy(update={"operating_points": (point,)}).model_dump_json())
    (folder / SUMMARY_FILE).unlink()
    metrics = tuple(metric for metric in header.metrics if metric.split == "test")
    variant = Variant(
        name="experiment-5", checkpoint_sha256="c" * 64, what="no flip averaging", images="lfw", pairs_list="pairs",
        data_sha256="d", left_out=1, threshold=0.5, metrics=metrics, over_people=metrics[:5],
    )  # fmt: skip
    (folder / VARIANTS_FOLDER).mkdir()
    (folder / VARIANTS_FOLDER / "no-flip.json").write_text(variant.model_dump_json())
    text = page(results)
    assert row(text, "experiment-5", "FNMR at FMR 0.1%, all pairs") == "40.00% (35.0% to 45.0%)"
    assert row(text, "experiment-5", "each person alike") == "20.00% (10.0% to 40.0%)"
    assert row(text, "experiment-5", "FMR") == "0.980% (0.500% to 2.000%)"
    assert row(text, "experiment-5", "impostor pairs") == "123,456"
    accepted = scores(0.1) >= 0.9
    shares = (accepted[~SAME].mean(), 1 - accepted[SAME].mean())
    for column, share in zip(("FMR on the test pairs", "FNMR on the test pairs"), shares, strict=True):
        assert row(text, "experiment-5", column).startswith(f"{share:.1%} (")
    assert row(text, "experiment-5", "changed") == "no flip averaging"
    assert row(text, "experiment-5", "left out") == "1"


def test_measurements_on_other_people_are_listed(results: Path) -> None:
    assert "## Other people and cameras" not in page(results)
    share, wide = Share(value=0.06, interval=(0.04, 0.09)), Share(value=0.5, interval=(0.4, 0.6))
    spread = Spread(mean=0.0139, deviation=0.01, low=0.001, high=0.034)
    outcome = Outcome(fmr=spread, fnmr=spread, area=spread)
    draws = CalibrationDraws(
        people=20, every_picture=True, draws=30, supported=0.5, shipped=outcome, shipped_centred=outcome,
        calibrated=outcome, calibrated_centred=outcome, default=None, default_refitted=None,
    )  # fmt: skip
    rates = (
        RatesAtThreshold(name="default", max_fmr=None, threshold=0.5, fmr=wide, fmr_of_similar=wide, fnmr=share),
        RatesAtThreshold(
            name="fmr_1e-2",
            max_fmr=0.01,
            threshold=0.9,
            fmr=share,
            fmr_of_similar=None,
            fnmr=None,
            fmr_decided=share,
            undecided=0.125,
        ),
    )
    found = Elsewhere(
        name="experiment-5", checkpoint_sha256="c" * 64, images="orl", held_out=False, face="largest", data_sha256="d",
        people=40, pictures=400, left_out=0, genuine=1800, impostor=78000, length=0.31, area=share, rates=rates,
        calibrations=(draws,),
    )  # fmt: skip
    (results / "experiment-5" / ELSEWHERE_FOLDER).mkdir()
    path = results / "experiment-5" / ELSEWHERE_FOLDER / "orl.json"
    path.write_text(found.model_dump_json())
    section = page(results).partition("## Other people and cameras")[2].partition("\n## ")[0]
    assert "| experiment-5 | orl | 40 | 400 | 1,800 | 78,000 | 0.31 | 0.0600 (0.0400 to 0.0900) |" in section
    assert (
        "| experiment-5 | orl | the default | 0.5000 | 50.00% (40.00% to 60.00%) |  | 50.00% (40.00% to 60.00%) | "
        "6.00% (4.00% to 9.00%) |  | 72.0% |" in section
    )
    decided = "| 6.00% (4.00% to 9.00%) | 6.00% (4.00% to 9.00%) |  |  | 12.5% |  |"
    assert f"| experiment-5 | orl | `max_fmr=0.01` | 0.9000 {decided}" in section
    assert row(section, "experiment-5", "draws") == "30"
    assert row(section, "experiment-5", "calibrated on") == "20, all pictures"
    assert "| 1.39% ± 1.00% (0.10% to 3.40%) |" in section
    assert section.rstrip().endswith("| 50% |")
    refitted = draws.model_copy(update={"default": outcome, "default_refitted": outcome})
    of_held_out = {"calibrations": (refitted,), "held_out": True, "images": "lfw"}
    path.write_text(found.model_copy(update=of_held_out).model_dump_json())
    assert "| lfw, held-out people | 20, all pictures | 1.39% ± " in page(results).partition("also refits scale")[2]
    theirs = results / outside.FOLDER / "theirs" / ELSEWHERE_FOLDER / "orl.json"
    theirs.parent.mkdir(parents=True)
    path.rename(theirs)
    assert "| theirs | lfw, held-out people | the default | 0.5000 |" in page(results)


def test_networks_from_elsewhere_have_a_table_of_their_own(results: Path) -> None:
    assert "Outside data" not in page(results)
    run = read_run(results / "experiment-5")
    folder = results / outside.FOLDER / "theirs"
    folder.mkdir(parents=True)
    values = {"name": "theirs", "checkpoint_sha256": "1", "images": "lfw", "data_sha256": "2"}
    variant = Variant(**values, what="", pairs_list="p", left_out=0, threshold=0.5, metrics=run.summary.over_pairs,
                      over_people=run.summary.over_people)  # fmt: skip
    (folder / outside.EVALUATION_FILE).write_text(variant.model_dump_json())
    rate = RateAt(max_fmr=0.001, fnmr=0.0123, interval=(0.01, 0.02), even_fnmr=0.0456, even_interval=(0.04, 0.05))
    counts = {"people": 2, "pictures": 4, "missing": 0, "genuine": 2, "impostor": 4}
    rates = AllPairsRates(**values, **counts, people_list="l", rates=(rate,))
    (folder / ALL_PAIRS_FILE).write_text(rates.model_dump_json())
    text = page(results)
    assert "labeled outside data" in text
    [line] = [line for line in text.splitlines() if line.startswith("| theirs |")]
    assert line.startswith(f"| theirs | {run.over_people('accuracy at threshold').value:.2%} (")
    assert line.endswith("| 1.23% (1.0% to 2.0%) | 4.56% (4.0% to 5.0%) |")
    assert "Pictures that share a condition" not in text
    write_changes(folder, "theirs", ("as they are", "dark"))
    write_changes(results / "experiment-5", "experiment-5", ("dark", "as they are", "grey"))
    section = page(results).partition("### Pictures that share a condition")[2].partition("\n## ")[0]
    assert "| dark * | 2.0% | 2.0% | 1.0% | 30.0% | 7.0% | 90.0% | 90.0% |" in section
    assert "| as they are |" in section
    write_changes(results / "experiment-5", "experiment-5", ("dark",))
    assert "| as they are |  | 2.0% | 1.0% | 30.0% | 7.0% |  | 90.0% |" in page(results)
    (folder / ALL_PAIRS_FILE).unlink()
    with pytest.raises(DataError, match=r"all-pairs\.json: cannot be read"):
        page(results)


def write_changes(folder: Path, name: str, changes: tuple[str, ...]) -> None:
    """What `shared-changes` measured; nothing is fitted on "dark"."""
    point = PointUnderChange(
        name="fmr_1e-2", threshold=0.9, fmr=0.02, interval=(0.01, 0.03), fnmr=0.3, fmr_decided=0.01, undecided=0.07,
        undecided_of_all=0.05,
    )  # fmt: skip
    found = [
        ChangeRates(
            change=change, condition="", fitted=change != "dark", pictures=9, found=9, noticed=None, impostor=20,
            genuine=10, area=0.9, points=(point,), accuracy_of_one=0.9, accuracy_interval=(0.8, 0.95),
        )
        for change in changes
    ]  # fmt: skip
    record = SharedChanges(name=name, checkpoint_sha256="1", data_sha256="2", people=4, pairs=20, changes=tuple(found))
    (folder / outside.CHANGES_FILE).write_text(record.model_dump_json())


def test_error_analyses_are_listed(results: Path) -> None:
    turned = Bin(label="0 to 10", pairs=98, right=90, interval=(0.84, 0.95), genuine=40, genuine_right=35)
    found = ErrorAnalysis(
        name="experiment-5", checkpoint_sha256="c" * 64, threshold=0.5, pairs=100, faceless=2,
        tables={"yaw": (turned,)},
        hardest={"wrong, two people, surest": (ScoredPair(left="A/1", right="B/2", similarity=0.97),)},
    )  # fmt: skip
    assert "Where they are wrong" not in page(results)
    (results / "experiment-5" / ERRORS_FILE).write_text(found.model_dump_json())
    text = page(results)
    assert "2 pairs are left out" in text
    assert "| yaw | 0 to 10 | 98 | 91.84% | 84.0% to 95.0% | 5 of 40 | 3 of 58 |" in text
    assert "A/1 / B/2 0.9700" in text


def test_unfinished_folds_are_listed(results: Path) -> None:
    done = [Fold(fold=n, accuracy=a, pairs=600, threshold=0.5, checkpoint_sha256="c") for n, a in ((1, 0.9), (3, 0.94))]
    found = View2(name="experiment-5", category="unrestricted, no outside data", of_folds=4, done=tuple(done))
    assert found.mean == pytest.approx(0.92)
    assert found.standard_error == pytest.approx(np.std([0.9, 0.94], ddof=1) / 2**0.5)
    assert found.missing == (2, 4)
    assert found.model_copy(update={"done": tuple(done[:1])}).standard_error is None
    (results / "view2-experiment-5").mkdir()
    (results / "view2-experiment-5" / VIEW2_FILE).write_text(found.model_dump_json())
    text = page(results)
    assert "| View 2 | **92.00% ± 2.00%** |  |  | 2 of 4 folds |" in text
    assert str(found) in text
    assert "not done: 2, 4" in text


def test_log_is_included(results: Path) -> None:
    (results / LOG_FILE).write_text("## Log\n\nTried nothing yet.\n")
    assert page(results).endswith("Tried nothing yet.\n")


def test_damaged_file_is_refused(results: Path) -> None:
    (results / "experiment-5" / ALL_PAIRS_FILE).write_text("{}")
    with pytest.raises(DataError, match=r"all-pairs\.json: cannot be read") as caught:
        page(results)
    assert "\n" not in str(caught.value)


def test_measurement_of_another_checkpoint_is_refused(results: Path) -> None:
    found = ErrorAnalysis(
        name="experiment-5", checkpoint_sha256="d" * 64, threshold=0.5, pairs=100, faceless=0, tables={}, hardest={}
    )
    (results / "experiment-5" / ERRORS_FILE).write_text(found.model_dump_json())
    with pytest.raises(DataError, match=r"errors\.json: belongs to another checkpoint"):
        page(results)


def test_results_without_reproductions_make_one_page(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    write_run(alone / "experiment-5", PAIRS, scores(0.1))
    assert [path.name for path in write_report(alone, tmp_path / "alone-out")] == ["accuracy.md"]
