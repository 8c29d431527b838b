from dataclasses import replace

import pytest
import torch

from distillation.assistants.sandwich import Remembered, Sampler, Sandwich, Tally
from distillation.assistants.slices import extract, skeleton_of
from distillation.batches import TrainingBatches
from distillation.criterion import Criterion, Pupil
from distillation.presets import recipe as preset
from distillation.recipe import Knowledge, Term
from distillation.teaching import LiveTeaching
from distillation.values import Estimate
from encoders.build import architecture_of, build
from encoders.values import Head

(MINIDISC,) = preset("minidisc").stages


@pytest.fixture
def batch(data):
    return TrainingBatches(data.train, data.tokenizer, batch_size=16, max_length=12, seed=0)(0)


@pytest.fixture
def supernet(shape, data):
    return build(shape(layers=4, hidden_size=24, heads=3), Head(classes=3), data.classes, seed=5)


@pytest.fixture
def slices(supernet):
    whole = architecture_of(supernet.config)
    return [whole, replace(whole, heads=(3, 1, 0, 2), ffn_size=(20, 9, 0, 1)), replace(whole, heads=0, ffn_size=0)]


class Counting(LiveTeaching):
    calls = 0

    def __call__(self, batch, needs):
        Counting.calls += 1
        return super().__call__(batch, needs)


def sandwich_of(supernet, slices, teacher, terms=MINIDISC.terms):
    skeletons = [skeleton_of(supernet, each) for each in slices]
    teaching = Remembered(Counting(teacher), Criterion(terms, Pupil(model=skeletons[0]), LiveTeaching(teacher)).needs)
    criteria = [Criterion(terms, Pupil(model=each), teaching) for each in skeletons]
    return Sandwich(skeletons, criteria, len(slices), Tally(1, len(slices)))


def test_gradients_of_shared_weights_are_the_sum_of_separate_ones(supernet, slices, teacher, batch):
    sandwich = sandwich_of(supernet, slices, teacher)
    losses = [sandwich(supernet, batch, 0.0, part) for part in range(3)]
    for loss in losses:
        torch.autograd.backward(loss)
    expected = {name: torch.zeros_like(weight) for name, weight in supernet.named_parameters()}
    for place, each in enumerate(slices):
        dense = extract(supernet, each)
        loss = Criterion(MINIDISC.terms, Pupil(model=dense), LiveTeaching(teacher))(dense, batch) / len(slices)
        assert torch.equal(loss, losses[place])
        torch.autograd.backward(loss)
        for name, weight in dense.named_parameters():
            if weight.grad is not None:
                expected[name][tuple(slice(0, size) for size in weight.shape)] += weight.grad
    for name, weight in supernet.named_parameters():
        assert torch.allclose(weight.grad, expected[name], atol=1e-8, rtol=1e-5), name
    assert not all(bool((weight.grad == 0).all()) for weight in supernet.parameters())


def test_the_loss_is_half_the_hidden_states_and_half_the_soft_labels(supernet, slices, teacher, batch):
    """As published: MSE at layers 0, 2, ..., L over the tokens that are no padding, soft cross-entropy at T = 1."""
    sandwich = sandwich_of(supernet, slices, teacher)
    inputs = (batch.input_ids, batch.attention_mask)
    with torch.no_grad():
        taught = teacher(*inputs, output_hidden_states=True)
        learned = extract(supernet, slices[1])(*inputs, output_hidden_states=True)
        layers = []
        for layer in (0, 2, 4):
            of_texts = []
            for row, mask in enumerate(batch.attention_mask):
                real = mask.bool()
                difference = learned.hidden_states[layer][row][real] - taught.hidden_states[layer][row][real]
                of_texts.append((difference**2).mean())
            layers.append(torch.stack(of_texts).mean())
        soft = -(taught.logits.softmax(-1) * learned.logits.log_softmax(-1)).sum(-1).mean()
        expected = 0.5 * torch.stack(layers).mean() + 0.5 * soft
        assert 3 * sandwich(supernet, batch, 0.0, 1) == pytest.approx(expected.item(), rel=1e-5)


def test_the_teacher_computes_once_for_all_slices_of_a_batch(supernet, slices, teacher, batch):
    Counting.calls = 0
    sandwich = sandwich_of(supernet, slices, teacher)
    for part in (0, 1, 2):
        sandwich(supernet, batch, 0.0, part)
    assert Counting.calls == 1
    again = batch.to(torch.device("cpu"))
    sandwich(supernet, again, 0.0, 0)
    assert Counting.calls == 2


def test_only_what_slices_learn_through_is_trained_and_checkpointed(supernet, slices, shape, data, batch):
    wide = build(shape(layers=4, hidden_size=32, heads=4), Head(classes=3), data.classes)
    terms = (Term(knowledge=Knowledge.HIDDEN_STATES),)
    sandwich = sandwich_of(supernet, slices, wide, terms)
    sandwich(supernet, batch, 0.0, 1)
    names = set(sandwich.state_dict())
    assert names >= {f"criteria.{place}.layers.0.projections.0 0.weight" for place in range(3)}
    assert not any("model" in name or "encoder" in name for name in names)
    assert all(weight.device.type == "cpu" for weight in sandwich.parameters())


@pytest.mark.parametrize(
    ("slices", "between", "count"), [(1, None, 1), (2, None, 2), (6, None, 6), (6, 0, 2), (6, 1, 3), (6, 9, 6)]
)
def test_the_largest_and_the_smallest_always_learn(slices, between, count):
    sampler = Sampler(slices, between, seed=3)
    seen = set()
    for step in range(40):
        found = sampler(step)
        assert len(found) == len(set(found)) == count == sampler.count
        assert list(found) == sorted(found)
        assert (found[0], found[-1]) == (0, slices - 1)
        assert found == Sampler(slices, between, seed=3)(step)
        seen |= set(found)
    assert seen == (set(range(slices)) if between != 0 else {0, slices - 1})


def test_a_tally_survives_a_checkpoint():
    first, second = (Estimate(value=0.1 * k, low=0.0, high=1 / 3, examples=k) for k in (1, 7))
    tally, again = Tally(3, 2), Tally(3, 2)
    assert tally.rows == ()
    tally.add((first, second))
    again.load_state_dict(tally.state_dict())
    again.add((second, first))
    assert again.rows == ((first, second), (second, first))
