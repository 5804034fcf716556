"""What is told of a search, against counting by hand."""

import json
import sys

import pytest
import torch
from helpers import seeded

from recurlight import Batch, Chains, LastAnswer, Majority, RecurlightError, Search, SoftmaxCrossEntropy
from recurlight.search import search_picture
from recurlight.search.chains import alike
from recurlight.search.found import found_in
from recurlight.search.measure import SearchMetric
from recurlight.search.report import SearchReport, Width, covered
from recurlight.types import IGNORE

ROWS, WIDTH, UPDATES = 60, 6, 9
SEARCH = Search(WIDTH, noise=0.1)


def searched(seed=0):
    """Chains whose answers are right now and then, and rows of which some are padding."""
    draw = seeded(seed)
    labels = torch.randint(1, 3, (ROWS, 2), generator=draw)
    answers = torch.randint(1, 3, (ROWS, WIDTH, 2), generator=draw)
    segments = torch.randint(1, 5, (ROWS, WIDTH), generator=draw).int()
    score = torch.rand(ROWS, WIDTH, generator=draw)
    logits = torch.nn.functional.one_hot(answers, 3).float()
    labels[::7] = IGNORE
    chains = Chains(logits, answers, alike(answers), score, segments, segments < 4, score, None)
    return Batch(labels.clamp(min=0), labels, labels[:, 0].clamp(max=0)), chains


def report(selector=SEARCH.selector, parts=(slice(None),)):
    batch, chains = searched()
    metric = SearchMetric(Search(WIDTH, noise=0.1, selector=selector))
    for part in parts:
        rows = Chains(*(None if field is None else field[part] for field in chains))
        answered = Batch(*(field[part] for field in batch))
        metric.update(found_in(rows, selector, UPDATES), answered, SoftmaxCrossEntropy())
    return metric.report()


@pytest.mark.parametrize("selector", [Majority(), LastAnswer()], ids=repr)
def test_figures_are_those_of_counting(selector):
    batch, chains = searched()
    found = report(selector)
    known = [row for row in range(ROWS) if row % 7]
    assert found.questions == len(known)
    right = (chains.answers == batch.labels[:, None]).all(dim=2).tolist()
    for each in found.widths:
        part = chains.first(each.width)
        chosen = selector.choose(part).tolist()
        count = len(known)
        assert each.exact == pytest.approx(sum(right[row][chosen[row]] for row in known) / count)
        assert each.oracle == pytest.approx(sum(any(right[row][: each.width]) for row in known) / count)
        assert each.gap == pytest.approx(each.oracle - each.exact)
        spent = sum(sum(chains.segments[row, : each.width].tolist()) for row in known) / count
        assert each.segments == pytest.approx(spent)
        assert each.updates == pytest.approx(spent * UPDATES)
    assert [each.width for each in found.widths] == [1, 2, 4, 6]
    assert found.widths[0].gap == 0


def test_batches_add_up():
    assert report(parts=(slice(0, 7), slice(7, 50), slice(50, None))) == report()


def test_rows_of_all_ranks_are_counted():
    """Fails if the rows that a sum over ranks leaves, which are one tensor, are taken for a list."""
    batch, chains = searched()
    metric, alone = SearchMetric(SEARCH), report()
    metric.update(found_in(chains, SEARCH.selector, UPDATES), batch, SoftmaxCrossEntropy())
    metric.dist_sync_fn = lambda rows, group: [rows, rows]  # as two ranks with the same rows
    metric.distributed_available_fn = lambda: True
    both = metric.report()
    assert both.questions == 2 * alone.questions
    assert both.widths == alone.widths


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_nothing_searched_is_no_error():
    empty = SearchMetric(SEARCH).report()
    assert (empty.questions, empty.curve, empty.widths[-1].exact) == (0, [], 0.0)
    assert "pass@k" in empty.text()


def test_coverage_counts_all_answers_that_are_so_sure():
    """Fails if answers that are equally sure are parted, in whichever order they come."""
    sure = torch.tensor([0.5, 1.0, 0.5, 1.0, 0.25])
    right = torch.tensor([True, True, False, True, False])
    curve, risk = covered(sure, right)
    told = [tuple(each) for each in curve]
    assert told == [
        (1.0, pytest.approx(0.4), 0.0),
        (0.5, pytest.approx(0.8), 0.25),
        (0.25, 1.0, pytest.approx(0.4)),
    ]
    assert risk == pytest.approx((2 * 0.0 + 2 * 0.25 + 0.4) / 5)
    assert covered(sure.flip(0), right.flip(0)) == (curve, risk)


def test_a_curve_has_an_end_and_few_points():
    sure = torch.rand(5000, generator=seeded())
    curve, risk = covered(sure, sure > 0.5)
    assert len(curve) <= 107
    assert curve[-1].coverage == 1
    assert curve[-1].risk == pytest.approx((sure <= 0.5).float().mean().item())
    assert 0 < risk < curve[-1].risk


def test_a_table_of_many_confidences_is_as_exact_as_one_of_few():
    """Fails if a threshold that is shown falls between points of the curve, or 9 votes of 10 below 0.9."""
    sure = torch.rand(1000, generator=seeded())
    curve, risk = covered(sure, sure > 0.5)
    lines = SearchReport("", 1000, [Width(1, 1, 1, 1, 1, 1)], curve, risk).text().splitlines()[3:]
    told = {float(line.split()[0]): line.split()[1] for line in lines}
    assert all(told[least] == f"{(sure >= least).float().mean():.1%}" for least in (0.0, 0.5, 0.8, 0.9, 0.95))
    votes = torch.tensor([[1.0] * 9 + [0.0], [1.0] * 7 + [0.0] * 3]).mean(dim=1)
    curve, risk = covered(votes, votes > 0)
    assert [each.confidence for each in curve] == [0.9, 0.7]


def test_the_table_and_the_plain_data_say_the_same():
    found = report()
    text, plain = found.text(), json.loads(json.dumps(found.plain()))
    for each, line in zip(plain["widths"], text.splitlines()[1:], strict=False):
        assert line.split()[0] == str(each["width"])
        assert f"{each['exact']:.1%}" in line
        assert f"{each['updates']:.4g}" in line
    assert plain["curve"][-1]["coverage"] == 1
    figures = found.figures()
    assert figures["exact_accuracy"] == figures["exact_of_6"] == plain["widths"][-1]["exact"]
    assert figures["pass_of_6"] - figures["exact_of_6"] == pytest.approx(figures["oracle_gap"])


def test_a_picture_shows_both_curves():
    pytest.importorskip("matplotlib", reason="the extra viz is not installed")
    found = report()
    left, right = search_picture(found).axes
    lines = {line.get_label(): [*line.get_ydata()] for line in left.lines}
    assert lines["exact"] == [each.exact for each in found.widths]
    assert lines["pass@k"] == [each.oracle for each in found.widths]
    assert [*left.lines[0].get_xdata()] == [each.updates for each in found.widths]
    assert [*right.lines[0].get_ydata()] == [each.risk for each in found.curve]


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecurlightError, match=r"pip install 'recurlight\[viz\]'"):
        search_picture(report())
