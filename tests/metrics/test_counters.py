"""Metrics against counts made row by row in plain Python."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from recurlight.errors import IncompatibleComponents
from recurlight.losses import MeanSquaredError
from recurlight.metrics.counters import NumberMetrics, ReasoningMetrics, table_points
from recurlight.metrics.shares import ErrorBySegments, ExactBySegments
from recurlight.training.progress import RunningRatio
from recurlight.types import IGNORE, Batch, Prediction

KEYS = ["token_accuracy", "exact_accuracy", "segments", "halting_precision", "halting_recall"]


def batch(rows, seed, tokens=4, vocab=3):
    """Random rows; every fourth is often right, and some have no supervised token at all."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(vocab, (rows, tokens), generator=generator)
    logits = torch.randn(rows, tokens, vocab, generator=generator)
    easy = torch.rand(rows, generator=generator) < 0.4
    logits[easy] += 5 * torch.nn.functional.one_hot(labels[easy], vocab)
    labels[torch.rand(rows, tokens, generator=generator) < 0.3] = IGNORE
    labels[torch.rand(rows, generator=generator) < 0.2] = IGNORE
    segments = torch.randint(1, 17, (rows,), generator=generator, dtype=torch.int32)
    return logits, labels, segments, torch.rand(rows, generator=generator) < 0.5


def brute_force(batches):
    """Count with Python loops."""
    tokens = tokens_right = rows = rows_right = spent = stopped = stopped_right = 0
    for logits, labels, segments, halted in batches:
        for row in range(len(labels)):
            pairs = [(x.argmax().item(), y.item()) for x, y in zip(logits[row], labels[row], strict=True)]
            pairs = [(x, y) for x, y in pairs if y != IGNORE]
            if not pairs:
                continue
            right = all(x == y for x, y in pairs)
            tokens, tokens_right = tokens + len(pairs), tokens_right + sum(x == y for x, y in pairs)
            rows, rows_right, spent = rows + 1, rows_right + right, spent + segments[row].item()
            stopped += halted[row].item()
            stopped_right += right and halted[row].item()
    return {
        "token_accuracy": tokens_right / tokens,
        "exact_accuracy": rows_right / rows,
        "segments": spent / rows,
        "halting_precision": stopped_right / stopped,
        "halting_recall": stopped_right / rows_right,
    }


def test_reasoning_metrics_count_as_brute_force_does():
    batches = [batch(40, seed) for seed in range(3)]
    metrics = ReasoningMetrics()
    for each in batches:
        metrics.update(*each)
    result = metrics.compute()
    assert list(result) == KEYS
    assert {key: value.item() for key, value in result.items()} == pytest.approx(
        brute_force(batches), rel=1e-6
    )
    assert all(value.dtype == torch.float32 and value.ndim == 0 for value in result.values())


def test_a_padding_row_changes_nothing_even_if_halted():
    logits, labels, segments, halted = batch(20, 7)
    plain, padded = ReasoningMetrics(), ReasoningMetrics()
    plain.update(logits, labels, segments, halted)
    padded.update(
        torch.cat([logits, logits[:1]]),
        torch.cat([labels, torch.full((1, 4), IGNORE)]),
        torch.cat([segments, torch.tensor([16], dtype=torch.int32)]),
        torch.cat([halted, torch.tensor([True])]),
    )
    assert plain.compute() == padded.compute()


def test_a_policy_that_never_halts_gets_no_credit_for_wrong_rows():
    metrics = ReasoningMetrics()
    logits = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    metrics.update(logits, torch.tensor([[0], [0]]), torch.tensor([16, 16]), torch.tensor([False, False]))
    result = metrics.compute()
    assert (result["halting_precision"], result["halting_recall"]) == (0, 0)


def test_nothing_counted_gives_zeros_not_nan():
    metrics = ReasoningMetrics()
    metrics.update(
        torch.zeros(1, 2, 3), torch.full((1, 2), IGNORE), torch.ones(1).int(), torch.ones(1).bool()
    )
    assert [value.item() for value in metrics.compute().values()] == [0.0] * 5


def test_forward_returns_the_batch_keeps_the_whole_and_reset_forgets():
    first, second = batch(30, 1), batch(30, 2)
    metrics = ReasoningMetrics()
    metrics(*first)
    assert metrics(*second)["segments"].item() == pytest.approx(brute_force([second])["segments"])
    assert metrics.compute()["segments"].item() == pytest.approx(brute_force([first, second])["segments"])
    metrics.reset()
    metrics.update(*first)
    assert metrics.compute()["segments"].item() == pytest.approx(brute_force([first])["segments"])


def test_counters_stay_exact_where_float32_would_stick():
    metrics, by_segments = ReasoningMetrics(), ExactBySegments()
    metrics.rows += 2**25
    metrics.rows_right += 2**25
    by_segments.rows += 2**25
    by_segments.counted += 2**25
    one = torch.tensor([True])
    for _ in range(3):
        metrics.update(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[1]]), torch.tensor([1]), one)
        by_segments.update(*answers(one, one), 1)
    assert metrics.rows == metrics.rows_right == 2**25 + 3
    assert by_segments.rows[0, 0] == by_segments.counted[0, 0] == 2**25 + 3


def fields(rows, seed):
    """Random outputs near labels of which some are not supervised; one row of labels is 0, one has none."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randn(rows, 4, 2, generator=generator)
    outputs = labels + 0.2 * torch.randn(rows, 4, 2, generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = torch.nan
    labels[0], labels[1] = 0.0, torch.nan
    return outputs, labels


def by_hand(batches):
    """Errors of numbers in Python loops: of each, of rows, and the share of rows within a tenth."""
    each, relative = [], []
    for outputs, labels in batches:
        for found, right in zip(outputs.flatten(1).tolist(), labels.flatten(1).tolist(), strict=True):
            pairs = [(x, y) for x, y in zip(found, right, strict=True) if y == y]
            each += [abs(x - y) for x, y in pairs]
            size = sum(y * y for _, y in pairs) ** 0.5
            if pairs:
                relative.append((sum((x - y) ** 2 for x, y in pairs) ** 0.5, size))
    errors = [apart / size for apart, size in relative if size]
    return {
        "mean_absolute_error": sum(each) / len(each),
        "exact_accuracy": sum(apart <= 0.2 * size for apart, size in relative) / len(relative),
        "error_at_2": sum(errors) / len(errors),
    }


def measured(number_metrics, error_by_segments, batches):
    """Feed both metrics, as evaluation does, and return their figures."""
    for outputs, labels in batches:
        spent = torch.full((len(labels),), 2)
        prediction = Prediction(outputs, spent, spent > 0, spent.float())
        right = MeanSquaredError(0.2).right(outputs, labels)
        number_metrics.update(outputs, labels, spent, spent > 0, right)
        error_by_segments.update(Batch(labels, labels, spent), prediction, 2)
    found = number_metrics.compute() | error_by_segments.compute()
    return {name: value.item() for name, value in found.items()}


def test_errors_of_numbers_are_those_of_python_loops():
    """Fails if a row without labels counts, an answer of zeros makes the error infinite, or NaN gets in."""
    batches = [fields(12, seed) for seed in range(3)]
    found = measured(NumberMetrics(), ErrorBySegments(), batches)
    expected = by_hand(batches)
    assert 0 < expected["exact_accuracy"] < 1
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert (found["segments"], found["halting_recall"]) == (2, 1)


def _rank(rank, init, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    numbers = measured(NumberMetrics(), ErrorBySegments(), [fields(12 + rank, seed=rank)])
    torch.save(numbers, f"{results}/{rank}.numbers.pt")
    metrics, by_segments = ReasoningMetrics(), ExactBySegments()
    metrics.update(*batch(20 + 5 * rank, seed=rank))
    for segments in (1, 2):
        valid = torch.tensor([True, True, rank == 0])
        by_segments.update(*answers(torch.tensor([True, segments > rank, True]), valid), segments)
    whole = {key: value.item() for key, value in (metrics.compute() | by_segments.compute()).items()}
    torch.save(whole, f"{results}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_report_the_whole(tmp_path):
    mp.spawn(_rank, args=(f"file://{tmp_path}/init", str(tmp_path)), nprocs=2)
    expected = brute_force([batch(20, seed=0), batch(25, seed=1)])
    expected |= {"exact_at_1": 4 / 5, "exact_at_2": 1.0}  # three rows on one rank, two on the other
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected, rel=1e-6)
        numbers, whole = torch.load(tmp_path / f"{rank}.numbers.pt"), by_hand([fields(12, 0), fields(13, 1)])
        assert {name: numbers[name] for name in whole} == pytest.approx(whole, rel=1e-5)


def answers(correct, valid):
    """Two tokens for each row, of which the second is wrong where the row is; padding has no labels."""
    labels = torch.ones(len(correct), 2, dtype=torch.int64)
    tokens = torch.stack([labels[:, 0], correct.long()], dim=1)
    logits = torch.nn.functional.one_hot(tokens, 2).float()
    spent = torch.ones(len(correct), dtype=torch.int32)
    question = Batch(labels, torch.where(valid[:, None], labels, IGNORE), labels[:, 0])
    return question, Prediction(logits, spent, valid, logits[:, 0, 0])


def test_exact_by_segments_counts_each_point_apart():
    metric = ExactBySegments()
    valid = torch.tensor([True, True, True, False])
    metric.update(*answers(torch.tensor([True, False, False, True]), valid), 1)
    metric.update(*answers(torch.tensor([True, True, False, True]), valid), 6)
    metric.update(*answers(torch.tensor([True, True, True, True]), ~valid), 6)
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(
        {"exact_at_1": 1 / 3, "exact_at_6": 3 / 4}
    )
    assert metric.figures((1, 6)) == [*metric.compute()]


def test_the_table_of_exact_accuracy():
    metric = ExactBySegments()
    for segments, right in ((1, 0), (2, 1), (1024, 8)):
        metric.update(*answers(torch.arange(8) < right, torch.ones(8, dtype=torch.bool)), segments)
    title, head, line = metric.table().split("\n")
    assert title == "exact accuracy after segments"
    assert head.split() == ["segments", "1", "2", "1024"]
    assert line.split() == ["exact", "0.0%", "12.5%", "100.0%"]
    assert len(head) == len(line)


@pytest.mark.parametrize(
    ("segments", "points"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (8, (1, 2, 4, 8)), (42, (1, 2, 4, 8, 16, 32, 42))],
)
def test_table_points(segments, points):
    assert table_points(segments) == points


def test_table_points_refuses_no_segments():
    with pytest.raises(IncompatibleComponents, match="max_segments=0"):
        table_points(0)


def test_running_ratio_weighs_batches_by_size_and_forgets_geometrically():
    ratio, batches = RunningRatio(decay=0.9), [(3, 4), (0, 10), (7, 8)]
    for part, whole in batches:
        ratio.update(torch.tensor(part), torch.tensor(whole))
    expected = (3 * 0.81 + 7) / (4 * 0.81 + 10 * 0.9 + 8)
    assert ratio.value().item() == pytest.approx(expected)


def test_running_ratio_remembers_about_a_hundred_updates_unless_told():
    ratio = RunningRatio()
    ratio.update(torch.tensor(1.0), torch.tensor(1.0))
    ratio.update(torch.tensor(0.0), torch.tensor(1.0))
    assert ratio.value().item() == pytest.approx(0.99 / 1.99)


def test_running_ratio_of_nothing_is_zero():
    ratio = RunningRatio()
    assert ratio.value() == 0
    ratio.update(torch.tensor(0), torch.tensor(0))
    assert ratio.value() == 0


def test_running_ratio_cuts_the_graph_and_accepts_inference_tensors():
    ratio = RunningRatio()
    with torch.inference_mode():
        ratio.update(torch.tensor(1.0), torch.tensor(2.0))
    ratio.update(torch.tensor(1.0, requires_grad=True), torch.tensor(2.0))
    assert not ratio.value().requires_grad
    assert ratio.value().item() == pytest.approx(0.5)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_running_ratio_refuses_a_decay_out_of_range(decay):
    with pytest.raises(IncompatibleComponents, match="decay"):
        RunningRatio(decay=decay)


class Watch(TorchDispatchMode):
    """Note every operation and every dtype that it makes."""

    def __init__(self):
        super().__init__()
        self.operations, self.dtypes = set(), set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.operations.add(func.overloadpacket)
        self.dtypes.update(leaf.dtype for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor))
        return out


def test_updates_neither_read_values_back_nor_make_float64():
    metrics, by_segments, ratio = ReasoningMetrics(), ExactBySegments(), RunningRatio()
    rows, flags = batch(5, 1), torch.ones(5, dtype=torch.bool)
    answered = answers(flags, flags)
    with Watch() as watch:
        metrics.update(*rows)
        by_segments.update(*answered, 2)
        for _ in range(2):
            ratio.update(flags.sum(), flags.sum())
        outcome = metrics.compute(), by_segments.compute(), ratio.value()
    assert torch.ops.aten.sum in watch.operations
    assert not watch.operations & {torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero}
    assert torch.float64 not in watch.dtypes
    assert {leaf.dtype for leaf in tree_leaves(outcome)} == {torch.float32}
