import pytest

from distillation.criterion import Pupil
from distillation.errors import TeacherError
from distillation.plan import plan
from distillation.presets import recipe as preset
from distillation.recipe import Part, Recipe, Stage, Term
from distillation.teaching import LiveTeaching
from encoders.build import build, head_of

LOGITS, HIDDEN = Term(knowledge="logits"), Term(knowledge="hidden_states")


@pytest.fixture
def student(shape, teacher):
    return build(shape(), head_of(teacher.config), seed=1)


def spans(phases):
    return [(phase.first, phase.last, phase.block) for phase in phases]


def test_stages_share_the_steps(student, teacher):
    stages = (Stage(terms=(HIDDEN,), share=3.0), Stage(terms=(LOGITS,), learning_rate=1e-4, warmup=0.0))
    phases = plan(Recipe(stages=stages), Pupil(model=student), LiveTeaching(teacher), steps=100)
    assert spans(phases) == [(0, 75, None), (75, 100, None)]
    assert [(phase.rates.rest, phase.rates.embeddings, phase.warmup) for phase in phases] == [
        (5e-4, 5e-4, 0.1),
        (1e-4, 5e-4, 0.0),
    ]


def test_blocks_share_their_stage_and_flash_keeps_every_share(student, teacher):
    pupil, teaching = Pupil(model=student), LiveTeaching(teacher)
    assert spans(plan(preset("mobilebert"), pupil, teaching, steps=400)) == [
        (0, 100, 0),
        (100, 200, 1),
        (200, 400, None),
    ]
    assert spans(plan(preset("mobilebert"), pupil, teaching, steps=20)) == [(0, 5, 0), (5, 10, 1), (10, 20, None)]
    assert spans(plan(preset("mobilebert"), pupil, teaching, steps=1))[-1][1] == 1


def test_a_phase_freezes_what_it_does_not_train(student, teacher):
    def trained(phase):
        with phase.training(student):
            return {name for name, weight in student.named_parameters() if weight.requires_grad}

    everything = {name for name, _ in student.named_parameters()}
    first, second, last = plan(preset("mobilebert"), Pupil(model=student), LiveTeaching(teacher), steps=400)
    below = {name for name in everything if name.startswith(("encoder.embeddings.", "encoder.layers.0."))}
    assert trained(first) == below
    # Layers 1 and 10 are told apart by position, not by a part of their names.
    assert trained(second) == {name for name in everything if name.startswith("encoder.layers.1.")}
    assert trained(last) == everything
    for part, prefix in ((Part.ENCODER, "encoder."), (Part.HEAD, "classifier.")):
        stages = (Stage(terms=(LOGITS,), train=part),)
        (phase,) = plan(Recipe(stages=stages), Pupil(model=student), LiveTeaching(teacher), steps=2)
        assert trained(phase) == {name for name in everything if name.startswith(prefix)}
    assert all(weight.requires_grad for weight in student.parameters())


def test_a_block_that_no_term_teaches_gets_no_steps(student, teacher):
    upper = Term(knowledge="hidden_states", matching=((3, 1),))
    stages = (Stage(terms=(upper,), train=Part.BLOCKS), Stage(terms=(LOGITS,)))
    phases = plan(Recipe(stages=stages), Pupil(model=student), LiveTeaching(teacher), steps=30)
    assert spans(phases) == [(0, 15, 1), (15, 30, None)]


def test_a_stage_that_does_not_fit_is_refused_even_if_it_gets_no_step(student, teacher):
    unfit = Stage(terms=(Term(knowledge="attention", loss="kl"),), share=1e-9)
    stages = (unfit, Stage(terms=(LOGITS,)))
    with pytest.raises(TeacherError, match="heads"):
        plan(Recipe(stages=stages), Pupil(model=student), LiveTeaching(teacher), steps=2)
