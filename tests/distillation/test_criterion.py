from dataclasses import replace

import pytest
import torch

from distillation.batches import TrainingBatches
from distillation.criterion import Criterion, Pupil
from distillation.decisions import Needs, decisions
from distillation.errors import TeacherError
from distillation.losses import hard_labels, logits_kl
from distillation.presets import PRESETS
from distillation.presets import recipe as preset
from distillation.recipe import LOSSES, OUTPUTS, Knowledge, Ramp, Term
from distillation.teaching import LiveTeaching
from encoders.build import architecture_of, build, head_of
from encoders.initialisation import initialise_from_teacher

ALL_TERMS = [Term(knowledge=knowledge, loss=loss) for knowledge, losses in LOSSES.items() for loss in losses]


def name_of(term):
    return f"{term.knowledge}-{term.loss}"


@pytest.fixture
def batch(data):
    return TrainingBatches(data.train, data.tokenizer, batch_size=8, max_length=12, seed=0)(0)


@pytest.fixture
def student(shape, teacher):
    """Narrower and shallower than the teacher, of as many heads."""
    return build(shape(heads=3), head_of(teacher.config), seed=1)


def criterion_of(teacher, student, *terms, **options):
    return Criterion(terms, Pupil(model=student), LiveTeaching(teacher), **options)


def value(teacher, student, batch, *terms, share=0.0):
    return float(criterion_of(teacher, student, *terms)(student, batch, share).detach())


@pytest.mark.parametrize("term", [term for term in ALL_TERMS if term.loss != "cross_entropy"], ids=name_of)
def test_a_copy_of_the_teacher_has_nothing_to_learn(teacher, batch, term):
    copy = build(architecture_of(teacher.config), head_of(teacher.config), seed=99)
    other = build(architecture_of(teacher.config), head_of(teacher.config), seed=98)
    initialise_from_teacher(copy, teacher)
    assert value(teacher, copy, batch, term) == pytest.approx(0, abs=1e-6)
    # Untrained models attend almost evenly, and the more alike the smaller their weights are.
    assert value(teacher, other, batch, term) > 1e-9


@pytest.mark.parametrize("term", ALL_TERMS, ids=name_of)
def test_every_term_reaches_the_student_and_listens_to_the_teacher(teacher, student, batch, term):
    def gradients():
        criterion = criterion_of(teacher, student, term)
        student.zero_grad()
        criterion(student, batch).backward()
        return torch.cat([weight.grad.flatten() for weight in student.parameters() if weight.grad is not None])

    before = gradients()
    assert before.abs().sum() > 0
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    assert torch.equal(before, gradients()) == (term.knowledge is Knowledge.HARD_LABELS)
    assert all(weight.grad is None for weight in teacher.parameters())


@pytest.mark.parametrize("term", ALL_TERMS, ids=name_of)
def test_padding_never_leaks_into_a_term(teacher, student, batch, term):
    longer = replace(
        batch,
        input_ids=torch.nn.functional.pad(batch.input_ids, (0, 2), value=77),
        attention_mask=torch.nn.functional.pad(batch.attention_mask, (0, 2)),
    )
    assert value(teacher, student, longer, term) == pytest.approx(value(teacher, student, batch, term), rel=1e-4)


@pytest.mark.parametrize("matching", ["first", "last", "uniform", "last1", "emd", ((1, 0), (1, 1), (3, 1))])
def test_every_matching_makes_a_criterion(teacher, student, batch, matching):
    assert value(teacher, student, batch, Term(knowledge="hidden_states", matching=matching)) > 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_stage_of_every_preset_teaches_a_student_of_another_depth_width_and_head_count(
    teacher, shape, batch, name
):
    student = build(shape(), head_of(teacher.config), seed=1)  # 2 heads of 8 under 3 of 8
    for stage in preset(name).stages:
        criterion = criterion_of(teacher, student, *stage.terms)
        assert len(criterion.parts(student, batch)) == len(stage.terms)
        criterion(student, batch).backward()


def test_an_untrained_student_has_much_to_learn_and_its_projections_learn_too(teacher, student, batch):
    terms = (Term(knowledge="logits", temperature=2.0), Term(knowledge="hidden_states", embeddings=True))
    other = build(architecture_of(teacher.config), head_of(teacher.config), seed=98)
    assert value(teacher, other, batch, *terms) > 0.1
    criterion = criterion_of(teacher, student, *terms)
    assert len(criterion.layers[0].projections) == student.config.layers + 1
    criterion(student, batch).backward()
    assert all(weight.grad is not None for weight in criterion.parameters())


def test_without_terms_of_layers_a_student_may_be_deeper_and_nothing_is_projected(teacher, shape, batch):
    deeper = build(shape(layers=6), head_of(teacher.config))
    criterion = criterion_of(teacher, deeper, Term(knowledge="logits"), Term(knowledge="hidden_states", weight=0.0))
    assert not criterion.state_dict()
    assert criterion(deeper, batch).isfinite()


def test_the_terms_are_weighed_and_added(teacher, student, batch):
    soft, hard = Term(knowledge="logits", temperature=2.0), Term(knowledge="hard_labels")
    hidden = Term(knowledge="hidden_states")
    inputs = (batch.input_ids, batch.attention_mask)
    with torch.no_grad():
        learned, taught = student(*inputs).logits, teacher(*inputs).logits
    expected = float(logits_kl(learned, taught, 2.0).mean()), float(hard_labels(learned, batch.labels).mean())
    of_hidden = value(teacher, student, batch, hidden)
    assert value(teacher, student, batch, replace(soft, weight=3.0)) == pytest.approx(3 * expected[0], rel=1e-4)
    assert value(teacher, student, batch, replace(hard, weight=2.0)) == pytest.approx(2 * expected[1], rel=1e-4)
    together = value(teacher, student, batch, soft, replace(hidden, weight=0.5), replace(hard, weight=0.25))
    assert together == pytest.approx(expected[0] + 0.5 * of_hidden + 0.25 * expected[1], rel=1e-4)


def test_weight_and_temperature_follow_their_ramps(teacher, student, batch):
    rising = Term(knowledge="logits", weight=Ramp(start=0.0, end=2.0), temperature=Ramp(start=1.0, end=3.0))
    halfway = value(teacher, student, batch, Term(knowledge="logits", weight=1.0, temperature=2.0))
    assert value(teacher, student, batch, rising, share=0.0) == 0
    assert value(teacher, student, batch, rising, share=0.5) == pytest.approx(halfway)


def test_layers_weigh_the_same_however_deep_the_student_is(teacher, batch):
    copy = build(architecture_of(teacher.config), head_of(teacher.config))
    initialise_from_teacher(copy, teacher)
    with torch.no_grad():
        for layer in copy.encoder.layers:
            layer.feed_forward[-1].norm.weight.mul_(2)
    # One mean over the pairs, so of the order of one pair's, not of four.
    assert 0.5 < value(teacher, copy, batch, Term(knowledge="hidden_states")) < 3


def test_every_second_layer_is_counted_from_the_last_and_embeddings_lie_below_the_first(teacher, student):
    four = build(replace(architecture_of(teacher.config), hidden_size=16), head_of(teacher.config))
    (lesson,) = criterion_of(teacher, four, Term(knowledge="hidden_states", every=2, embeddings=True)).layers
    assert lesson.pairs == ((-1, -1), (1, 1), (3, 3))
    (lesson,) = criterion_of(teacher, student, Term(knowledge="hidden_states", every=2)).layers
    assert lesson.pairs == ((3, 1),)


def test_a_block_learns_its_own_layer_and_the_first_the_embeddings_too(teacher, student):
    terms = (Term(knowledge="hidden_states"), Term(knowledge="embeddings"))
    assert [lesson.pairs for lesson in criterion_of(teacher, student, *terms, block=0).layers] == [
        ((1, 0),),
        ((-1, -1),),
    ]
    assert [lesson.pairs for lesson in criterion_of(teacher, student, *terms, block=1).layers] == [((3, 1),)]


def test_nothing_is_computed_that_no_term_asks_for(teacher, student):
    assert criterion_of(teacher, student, Term(knowledge="logits")).needs == Needs()
    off = (Term(knowledge="logits"), Term(knowledge="attention", weight=0.0))
    assert criterion_of(teacher, student, *off).needs == Needs()
    assert criterion_of(teacher, student, Term(knowledge="attention", loss="kl")).needs == Needs(
        attentions=frozenset({1, 3})
    )
    assert criterion_of(teacher, student, Term(knowledge="value_relations")).needs == Needs(
        projections=frozenset({1, 3})
    )
    assert criterion_of(teacher, student, Term(knowledge="token_gram")).needs == Needs(hidden_states=frozenset({2, 4}))


def test_labels_alone_need_no_teacher_and_nothing_else_does_without(student, batch):
    with torch.no_grad():
        logits = student(batch.input_ids, batch.attention_mask).logits
        expected = torch.nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1)
        smoothed = Criterion([Term(knowledge="hard_labels", smoothing=0.1)], Pupil(model=student), None)
        assert torch.allclose(smoothed(student, batch), expected)
    for knowledge in set(Knowledge) - {Knowledge.HARD_LABELS}:
        with pytest.raises(TeacherError, match=f"{knowledge} is taught by a teacher, and there is none"):
            Criterion([Term(knowledge=knowledge)], Pupil(model=student), None)


def test_unlabelled_texts_teach_no_labels(teacher, student, batch):
    half = replace(batch, labels=torch.where(torch.arange(8) < 4, batch.labels, -100))
    first = replace(
        batch, input_ids=batch.input_ids[:4], attention_mask=batch.attention_mask[:4], labels=batch.labels[:4]
    )
    term = Term(knowledge="hard_labels")
    assert value(teacher, student, half, term) == pytest.approx(value(teacher, student, first, term), rel=1e-4)
    none = replace(batch, labels=torch.full((8,), -100))
    loss = criterion_of(teacher, student, term, Term(knowledge="logits"))(student, none)
    loss.backward()
    assert loss.isfinite()
    assert len(decisions(student(batch.input_ids, batch.attention_mask), none, head_of(student.config).kind).rows) == 8


def test_the_teacher_is_no_part_of_what_is_trained_and_saved(teacher, student):
    hidden = Term(knowledge="hidden_states")
    assert [name for name, _ in criterion_of(teacher, student, hidden).named_parameters()] == [
        f"layers.0.projections.{pair}.{part}" for pair in ("1 0", "3 1") for part in ("weight", "bias")
    ]
    same_width = build(architecture_of(teacher.config), head_of(teacher.config))
    assert not criterion_of(teacher, same_width, hidden).state_dict()


def test_a_projection_starts_by_leaving_the_students_units_where_they_were(teacher, student):
    pupil = Pupil(model=student, hidden_units=tuple(range(4, 20)))
    (lesson,) = Criterion([Term(knowledge="hidden_states")], pupil, LiveTeaching(teacher)).layers
    states = torch.randn(1, 1, 16)
    with torch.no_grad():
        projected = lesson.projections["3 1"](states)
    assert torch.equal(projected[..., 4:20], states)
    assert not projected[..., :4].any()
    assert not projected[..., 20:].any()


@pytest.mark.parametrize(
    ("term", "changes", "message"),
    [
        (Term(knowledge="hidden_states"), {"layers": 5}, "a teacher of 4 layers cannot be matched to 5 student layers"),
        (Term(knowledge="attention", loss="kl"), {}, "layer 0 of the student has 2 heads, layer 1 of the teacher 3"),
        (
            Term(knowledge="key_relations", relation_heads=5),
            {},
            "relation_heads of 5 do not divide the teacher's 24 units",
        ),
        (
            Term(knowledge="value_relations", relation_heads=3),
            {},
            "relation_heads of 3 do not divide the student's 16 units",
        ),
        (Term(knowledge="attention_relations"), {"heads": (2, 0)}, "layer 1 of the student has no heads"),
        (Term(knowledge="hidden_states", matching=((4, 0),)), {}, "asks for teacher layer 4"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(teacher, shape, term, changes, message):
    other = build(shape(**changes), head_of(teacher.config))
    with pytest.raises(TeacherError, match=message):
        criterion_of(teacher, other, term)


def test_the_knowledge_of_outputs_is_all_that_matches_no_layers():
    assert {term.knowledge for term in ALL_TERMS if term.matching is None} == {*OUTPUTS, Knowledge.EMBEDDINGS}
