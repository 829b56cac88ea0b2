"""Whether there are enough people to learn from and to choose thresholds on, in plain words."""

from math import ceil

from training.data.datasets import HoldOut, PeopleData
from training.statistics import operating_points

# Training people with several pictures. Experiment 7 has about a thousand of them; with a few dozen it is near chance.
MIN_SEVERAL = 300


def warnings(data: PeopleData, rule: HoldOut) -> list[str]:
    """A sentence for too few people to learn from, and one for too few held-out people."""
    return [*_too_few_to_learn(data), *_too_few_held_out(len(data.held_out), rule)]


def _too_few_to_learn(data: PeopleData) -> list[str]:
    if (several := len(data.several)) >= MIN_SEVERAL:
        return []
    return [
        f"only {several} training people have several pictures; a network learns to tell new people apart from "
        f"at least a few hundred ({MIN_SEVERAL}). With fewer, calibrate a shipped checkpoint instead "
        "(python -m training calibrate)"
    ]


def _too_few_held_out(people: int, rule: HoldOut) -> list[str]:
    needs = {max_fmr: operating_points.people_for(max_fmr) for max_fmr in operating_points.WANTED.values()}
    lacking = {max_fmr: count for max_fmr, count in needs.items() if people < count}
    if not lacking:
        return []
    listed = ", ".join(f"{max_fmr:g} needs {count}" for max_fmr, count in lacking.items())
    return [
        f"only {people} people are held out for the thresholds: a max_fmr of {listed}. The checkpoint will have no "
        f"threshold for these rates. {rule.fraction:.0%} of the training people are held out, so "
        f"{ceil(min(lacking.values()) / rule.fraction)} people are needed for the first of them"
    ]
