"""Tables of a run's errors by kind of face."""

from training.reports import markdown
from training.runs import records

INTRODUCTION = """\
Yaw is estimated from five landmarks, to about ten degrees. The more turned, smaller or less sharp face of a pair
decides its bin, as measured when faces are found and aligned; quarters are quarters of the test pairs. Names are
LFW's file names; nothing is inferred from them."""


def format_errors(name: str, found: records.ErrorAnalysis) -> list[str]:
    """The section of a run: its title, the tables, and the hardest pairs."""
    absent = f" {found.faceless} pairs are left out, since a face was not found." if found.faceless else ""
    title = f"### {name}\n\n{found.pairs} test pairs at the threshold {found.threshold:.4f}.{absent}"
    rows = [[kind, markdown.scored_pairs(pairs)] for kind, pairs in found.hardest.items()]
    return [title, _table_errors(found), markdown.table(["kind", "pairs and their similarity"], rows)]


def _table_errors(found: records.ErrorAnalysis) -> str:
    rows = [_bin_row(title, each) for title, bins in found.tables.items() for each in bins]
    head = ["measured", "bin", "pairs", "accuracy", "95%", "one person, rejected", "two people, accepted"]
    return markdown.table(head, rows)


def _bin_row(title: str, each: records.Bin) -> markdown.Row:
    low, high = each.interval
    impostor = each.pairs - each.genuine
    rejected, accepted = each.genuine - each.genuine_right, impostor - (each.right - each.genuine_right)
    share = [str(each.pairs), f"{each.right / each.pairs:.2%}", f"{low:.1%} to {high:.1%}"]
    return [title, each.label, *share, f"{rejected} of {each.genuine}", f"{accepted} of {impostor}"]
