import fcntl
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from distillation.batches import TrainingBatches
from distillation.cache import Cache, CachedTeaching
from distillation.decisions import Needs
from distillation.distil import distil
from distillation.errors import Interrupted
from distillation.observer import Unobserved
from distillation.recipe import Stage, Term
from distillation.splits import Example, TrainSplit
from distillation.teaching import LiveTeaching
from encoders.build import build
from encoders.values import Head, HeadKind

NEEDS = Needs(hidden_states=frozenset({0, 3}), projections=frozenset({1}))
PLENTY = 10**9


@pytest.fixture
def batches(data):
    return TrainingBatches(data.train, data.tokenizer, batch_size=8, max_length=12, seed=0)


@pytest.fixture
def cache(tmp_path):
    return Cache(folder=tmp_path / "teachers", budget_bytes=PLENTY)


def opened(cache, teacher, batches, needs=NEEDS, content="data", observer=None):
    return cache.teaching(teacher, batches.encoded, needs, content=content, observer=observer or Unobserved())


def assert_alike(cached, live, batch, needs):
    own, other = cached(batch, needs), live(batch, needs)
    assert torch.allclose(own.decisions.logits, other.decisions.logits, atol=1e-5)
    assert torch.equal(own.decisions.rows, other.decisions.rows)
    real = batch.attention_mask.bool()
    for index in needs.hidden_states:
        pair = own.output.hidden_states[index], other.output.hidden_states[index]
        assert torch.allclose(pair[0][real], pair[1][real], atol=1e-5)
    for layer in needs.projections:
        for side, expected in zip(own.output.projections[layer], other.output.projections[layer], strict=True):
            assert torch.allclose(side.transpose(1, 2)[real], expected.transpose(1, 2)[real], atol=1e-5)


def test_what_is_read_is_what_the_teacher_would_say_in_every_epoch(cache, teacher, batches):
    cached, live = opened(cache, teacher, batches), LiveTeaching(teacher)
    assert isinstance(cached, CachedTeaching)
    for step in (0, 1, batches.per_epoch - 1, batches.per_epoch + 3, 5 * batches.per_epoch):
        assert_alike(cached, live, batches(step), NEEDS)


TEXTS = {
    HeadKind.REGRESSION: [Example((f"the cat {'near oak ' * n}",), float(n)) for n in range(6)],
    HeadKind.TOKEN_CLASSIFICATION: [Example(("the", "cat", *("oak",) * n), (0, 1, *(2,) * n)) for n in range(6)],
    HeadKind.QUESTION_ANSWERING: [Example(("the cat", "oak near a small old cat " * n), None) for n in range(1, 7)],
}


@pytest.mark.parametrize("kind", list(TEXTS))
def test_every_kind_of_task_with_fixed_inputs_is_kept(cache, shape, data, kind):
    classes = 3 if kind is HeadKind.TOKEN_CLASSIFICATION else 0
    teacher = build(shape(layers=3), Head(kind=kind, classes=classes), seed=5)
    batches = TrainingBatches(
        TrainSplit(tuple(TEXTS[kind])), data.tokenizer, batch_size=4, max_length=16, seed=0, kind=kind
    )
    cached = opened(cache, teacher, batches)
    assert isinstance(cached, CachedTeaching)
    for step in range(batches.per_epoch):
        assert_alike(cached, LiveTeaching(teacher), batches(step), NEEDS)


def test_only_what_is_missing_is_computed(cache, teacher, batches, recorder):
    first, second, third = recorder(), recorder(), recorder()
    opened(cache, teacher, batches, observer=first)
    opened(cache, teacher, batches, observer=second)
    more = NEEDS | Needs(hidden_states=frozenset({2}))
    teaching = opened(cache, teacher, batches, more, observer=third)
    assert [watching.stages for watching in (first, second, third)] == [
        ["computing the teacher's outputs"],
        [],
        ["computing the teacher's outputs"],
    ]
    assert_alike(teaching, LiveTeaching(teacher), batches(0), more)


def test_another_teacher_or_other_data_are_never_mistaken_for_these(cache, teacher, batches, shape):
    opened(cache, teacher, batches)
    other = build(shape(layers=4, hidden_size=24, heads=3), Head(classes=3), seed=8)
    assert_alike(opened(cache, other, batches), LiveTeaching(other), batches(0), NEEDS)
    opened(cache, teacher, batches, content="other data")
    assert len(list(cache.folder.iterdir())) == 3


def test_maps_masked_words_and_what_is_too_large_are_computed_live(cache, teacher, batches, shape, data, tmp_path):
    assert isinstance(opened(cache, teacher, batches, Needs(attentions=frozenset({0}))), LiveTeaching)
    masked = TrainingBatches(
        TrainSplit((Example(("the old cat",), None),)),
        data.tokenizer,
        batch_size=1,
        max_length=12,
        seed=0,
        kind=HeadKind.MASKED_LM,
    )
    assert isinstance(opened(cache, build(shape(), Head(kind=HeadKind.MASKED_LM)), masked), LiveTeaching)
    small = Cache(folder=tmp_path / "small", budget_bytes=10_000)
    assert isinstance(opened(small, teacher, batches), LiveTeaching)
    assert isinstance(opened(small, teacher, batches, Needs()), CachedTeaching)


def test_what_was_used_longest_ago_makes_room_unless_somebody_reads_it(cache, teacher, batches):
    opened(cache, teacher, batches, content="first")
    size = sum(path.stat().st_size for path in cache.folder.rglob("*.npy"))
    tight = replace(cache, budget_bytes=int(1.5 * size))
    opened(tight, teacher, batches, content="second")
    assert len(list(cache.folder.iterdir())) == 1
    reading = opened(tight, teacher, batches, content="second")
    assert isinstance(opened(tight, teacher, batches, content="third"), LiveTeaching)
    assert_alike(reading, LiveTeaching(teacher), batches(0), NEEDS)


def test_a_stop_while_computing_leaves_nothing_half_written(cache, teacher, batches, recorder):
    stopping = recorder(stop_after=0)
    with pytest.raises(Interrupted):
        opened(cache, teacher, batches, observer=stopping)
    assert not list(cache.folder.rglob("*.npy"))
    assert isinstance(opened(cache, teacher, batches), CachedTeaching)


def test_who_comes_second_waits_for_the_first_and_may_be_stopped_meanwhile(cache, teacher, batches, recorder):
    opened(cache, teacher, batches)
    (entry,) = cache.folder.iterdir()
    with (entry / "writing").open("ab") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        with pytest.raises(Interrupted, match="another process"):
            opened(cache, teacher, batches, observer=recorder(stop_after=0))


def test_a_folder_that_cannot_be_written_costs_speed_and_not_the_training(teacher, batches, tmp_path):
    (tmp_path / "file").write_text("no folder")
    broken = Cache(folder=tmp_path / "file", budget_bytes=PLENTY)
    assert isinstance(opened(broken, teacher, batches), LiveTeaching)


def test_a_student_learns_the_same_from_the_cache_to_the_last_digits(cache, data, teacher, shape, recipe, tmp_path):
    stages = (
        Stage(terms=(Term(knowledge="hidden_states"), Term(knowledge="value_relations", matching="last1"))),
        Stage(terms=(Term(knowledge="logits"),)),
    )
    teachings = {}
    for name, kept in (("live", None), ("cached", cache), ("again", cache)):
        teachings[name] = distil(
            data,
            teacher,
            shape(),
            replace(recipe, stages=stages),
            steps=8,
            seed=3,
            folder=tmp_path / name,
            cache=kept,
        ).model.state_dict()
    for name, weight in teachings["live"].items():
        assert torch.allclose(weight, teachings["cached"][name], atol=1e-3)
        assert torch.equal(teachings["again"][name], teachings["cached"][name])
    assert np.isfinite([float(weight.sum()) for weight in teachings["cached"].values()]).all()


TENSORS = {
    "single": torch.tensor([0.1, -0.0, float("inf")]),
    "double": torch.tensor([[1 / 3]], dtype=torch.float64),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "none": torch.zeros(0),
}


@pytest.fixture
def computing():
    """Computes `TENSORS`, and counts how often."""

    def compute():
        compute.times += 1
        return {name: tensor.clone() for name, tensor in TENSORS.items()}

    compute.times = 0
    return compute


def assert_whole(found):
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tensors_are_computed_once_for_each_key_and_read_as_they_were(cache, computing):
    for key, times in (("one", 1), ("one", 1), ("other", 2), ("one", 2)):
        assert_whole(cache.tensors(key, computing, observer=Unobserved()))
        assert computing.times == times


def flipped(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # still safetensors, of another number


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def half_written(path):
    path.rename(path.with_name("written"))


@pytest.mark.parametrize("damage", [flipped, cut, half_written])
def test_damaged_tensors_are_never_read(cache, computing, damage):
    cache.tensors("one", computing, observer=Unobserved())
    (path,) = cache.folder.rglob("*.safetensors")
    damage(path)
    for _ in range(2):
        assert_whole(cache.tensors("one", computing, observer=Unobserved()))
        assert computing.times == 2
    assert [found.name for found in cache.folder.rglob("*.safetensors")] == [path.name]


def test_tensors_that_cannot_be_kept_are_computed(cache, computing, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    for folder, budget_bytes in (("file", PLENTY), ("small", 10), ("none", 0)):
        poor = Cache(folder=tmp_path / folder, budget_bytes=budget_bytes)
        assert_whole(poor.tensors("one", computing, observer=Unobserved()))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))  # as of a full disk
    try:
        full = cache.tensors("one", computing, observer=Unobserved())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_whole(full)
    assert computing.times == 4
    assert not list(tmp_path.rglob("*.safetensors"))
    assert len(caplog.records) == 3  # a budget of 0 is a choice
    assert not (tmp_path / "none").exists()
    assert_whole(cache.tensors("one", computing, observer=Unobserved()))
    assert len(list(cache.folder.rglob("*.safetensors"))) == 1


def test_tensors_make_room_as_outputs_do(cache, teacher, batches, computing):
    opened(cache, teacher, batches)
    size = sum(path.stat().st_size for path in cache.folder.rglob("*.npy"))
    tight = replace(cache, budget_bytes=size)
    reading = opened(tight, teacher, batches)
    tight.tensors("one", computing, observer=Unobserved())
    assert not list(cache.folder.rglob("*.safetensors"))
    del reading
    tight.tensors("one", computing, observer=Unobserved())
    assert not list(cache.folder.rglob("*.npy"))
    assert len(list(cache.folder.rglob("*.safetensors"))) == 1


def test_a_computation_that_fails_leaves_nothing_and_lets_the_next_one_in(cache, computing):
    def failing():
        raise Interrupted("asked to stop")

    with pytest.raises(Interrupted, match="asked to stop"):
        cache.tensors("one", failing, observer=Unobserved())
    assert not list(cache.folder.rglob("*.safetensors"))
    assert_whole(cache.tensors("one", computing, observer=Unobserved()))


def test_who_wants_the_same_tensors_waits_for_the_first(cache, computing, recorder):
    def meanwhile():
        with pytest.raises(Interrupted, match="another process"):
            cache.tensors("one", computing, observer=recorder(stop_after=0))
        return computing()

    assert_whole(cache.tensors("one", meanwhile, observer=Unobserved()))
    assert computing.times == 1
