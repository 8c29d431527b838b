import numpy as np
import pytest
import torch
from torch.nn import functional

from distillation.batches import Encoded
from distillation.criterion import Criterion, Pupil
from distillation.decisions import IMPOSSIBLE, answer, decisions
from distillation.recipe import Term
from distillation.splits import Answer, Example, SelectionSplit
from encoders.build import build
from encoders.values import CLASSIFYING, Head, HeadKind

CONTEXT = "the dog sat near the old oak and the cat sat under the small fern"
ANSWERS = (Answer("cat", CONTEXT.index("cat")),)
EXAMPLES = {
    HeadKind.CLASSIFICATION: [Example(("the cat",), 1), Example(("oak",), None), Example(("slate near oak",), 2)],
    HeadKind.REGRESSION: [Example(("the cat",), 1.5), Example(("oak",), None), Example(("slate near oak",), -2.0)],
    HeadKind.TOKEN_CLASSIFICATION: [
        Example(("the", "cat", "unfathomable"), (0, 1, 2)),
        Example(("oak",), None),
        Example(("slate", "oak"), (2, 1)),
    ],
    HeadKind.QUESTION_ANSWERING: [
        Example(("who", CONTEXT), ANSWERS),
        Example(("who", "the old oak"), None),
        Example(("who", "the dog"), ()),
    ],
    HeadKind.MASKED_LM: [Example(("the cat and the dog",), None), Example(("oak",), None)],
}


@pytest.fixture
def made(data, shape):
    """A model of this kind, and a batch of its examples."""

    def make(kind):
        head = Head(kind=kind, classes=3 if kind in CLASSIFYING else 0)
        model = build(shape(max_positions=32), head, seed=1)
        encoded = Encoded(SelectionSplit(tuple(EXAMPLES[kind])), data.tokenizer, max_length=20, kind=kind)
        return model, encoded.batch(np.arange(len(encoded)))

    return make


def forward(model, batch):
    with torch.no_grad():
        return model(batch.input_ids, batch.attention_mask, batch.token_type_ids)


def literally(output, batch, kind):
    """(logits of the possible choices, label, row) of each decision, one after the other."""
    found = []
    for row in range(len(batch.input_ids)):
        if kind in (HeadKind.CLASSIFICATION, HeadKind.REGRESSION):
            found.append((output.logits[row].tolist(), batch.labels[row].item(), row))
        elif kind is HeadKind.QUESTION_ANSWERING:
            for end, logits in enumerate((output.start_logits[row], output.end_logits[row])):
                possible = [
                    logit if may else IMPOSSIBLE
                    for logit, may in zip(logits.tolist(), batch.decides[row].tolist(), strict=True)
                ]
                found.append((possible, batch.labels[row, end].item(), row))
        else:
            places = [place for place in range(batch.input_ids.shape[1]) if batch.decides[row, place]]
            found += [(output.logits[row, at].tolist(), batch.labels[row, at].item(), row) for at in places]
    return found


@pytest.mark.parametrize("kind", list(HeadKind))
def test_decisions_are_those_that_one_would_write_down(kind, made):
    model, batch = made(kind)
    output = forward(model, batch)
    expected = literally(output, batch, kind)
    found = decisions(output, batch, kind)
    assert len(found.logits) == len(found.labels) == len(found.rows) == len(expected) > 0
    for at, (logits, label, row) in enumerate(expected):
        assert found.logits[at].tolist() == pytest.approx(logits)
        assert found.labels[at].item() == pytest.approx(label, nan_ok=True)
        assert found.rows[at].item() == row
    assert found.labels.dtype == (torch.float32 if kind is HeadKind.REGRESSION else torch.int64)


@pytest.mark.parametrize("kind", list(HeadKind))
def test_a_model_decides_what_its_output_says(kind, made):
    model, batch = made(kind)
    from_output, from_model = decisions(forward(model, batch), batch, kind), answer(model, batch, kind).decisions
    assert torch.allclose(from_output.logits, from_model.logits, atol=1e-6)
    assert from_output.labels.tolist() == pytest.approx(from_model.labels.tolist(), nan_ok=True)
    assert from_output.rows.equal(from_model.rows)


@pytest.mark.parametrize("kind", list(HeadKind))
def test_the_loss_of_labels_is_the_mean_over_those_there_are(kind, made):
    model, batch = made(kind)
    lost = []
    for logits, label, _ in literally(forward(model, batch), batch, kind):
        if kind is HeadKind.REGRESSION:
            lost += [] if np.isnan(label) else [(logits[0] - label) ** 2]
        elif label >= 0:
            lost.append(-functional.log_softmax(torch.tensor(logits), dim=0)[label].item())
    unlabelled = kind is not HeadKind.MASKED_LM
    assert len(lost) < len(literally(forward(model, batch), batch, kind)) or not unlabelled
    assert labels_alone(model)(model, batch).item() == pytest.approx(np.mean(lost), rel=1e-5)


def labels_alone(model):
    return Criterion([Term(knowledge="hard_labels")], Pupil(model=model), None)


@pytest.mark.parametrize("kind", list(HeadKind))
def test_a_batch_without_labels_has_no_loss_and_no_gradient(kind, made):
    model, batch = made(kind)
    nothing = torch.nan if kind is HeadKind.REGRESSION else -100
    batch.labels.fill_(nothing)
    loss = labels_alone(model)(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)
