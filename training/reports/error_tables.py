"""The tables of where a run is wrong, in Markdown."""

from training.measuring.error_analysis import Bin, ErrorAnalysis
from training.reports.markdown import Row, table


def table_errors(found: ErrorAnalysis) -> str:
    """A run's errors by what was measured of the faces."""
    rows = [_bin_row(title, each) for title, bins in found.tables.items() for each in bins]
    return table(["measured", "bin", "pairs", "accuracy", "95%", "one person, rejected", "two people, accepted"], rows)


def _bin_row(title: str, each: Bin) -> Row:
    low, high = each.interval
    impostor = each.pairs - each.genuine
    rejected, accepted = each.genuine - each.genuine_right, impostor - (each.right - each.genuine_right)
    share = [str(each.pairs), f"{each.right / each.pairs:.2%}", f"{low:.1%} to {high:.1%}"]
    return [title, each.label, *share, f"{rejected} of {each.genuine}", f"{accepted} of {impostor}"]


def table_hardest(found: ErrorAnalysis) -> str:
    """The surest wrong and the narrowest right answers by name."""
    rows = []
    for kind, pairs in found.hardest.items():
        rows.append([kind, "; ".join(f"{pair.left} / {pair.right} {pair.similarity:.4f}" for pair in pairs)])
    return table(["kind", "pairs and their similarity"], rows)
