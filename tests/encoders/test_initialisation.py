"""Students cut out of their teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from encoders.build import build
from encoders.errors import InitialisationError
from encoders.importance import Importance, norm_importance
from encoders.initialisation import (
    LayerChoice,
    Rescaling,
    chosen_layers,
    initialise_from_student,
    initialise_from_teacher,
)
from encoders.values import Head, HeadKind, Pooling
from search_space import Activation, Architecture, AttentionInput, Norm, Pooler

HEAD = Head(classes=3)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
OTHER_SHAPES = {
    "plain": {},
    "mobile": {
        "bottleneck_size": 12,
        "attention_input": AttentionInput.SHARED,
        "embedding_size": 10,
        "trigram": True,
        "norm": Norm.NO_NORM,
        "activation": Activation.RELU,
        "ffn_stacks": 3,
    },
    "bottleneck": {"bottleneck_size": 12, "attention_input": AttentionInput.BOTTLENECK, "pooler": Pooler.TANH},
    "sliced": {"heads": (4, 0, 2), "ffn_size": (40, 8, 0), "pooler": Pooler.RELU, "token_types": 0},
    "narrow words": {"embedding_size": 10},
}


@pytest.fixture
def made(scramble):
    """A teacher of this shape, every weight with a value of its own."""

    def teacher(architecture, head=HEAD, labels=None):
        model = build(architecture, head, labels)
        scramble(model)
        return model

    return teacher


@pytest.fixture
def teacher(architecture, made):
    return made(architecture)


@pytest.fixture
def mobile(architecture) -> Architecture:
    return replace(architecture, **OTHER_SHAPES["mobile"])


@pytest.fixture
def ids():
    return torch.randint(0, 60, (4, 10), generator=torch.Generator().manual_seed(0))


def linears(model):
    return {name: each for name, each in model.named_modules() if isinstance(each, nn.Linear)}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def as_built(model, built, names):
    return all(torch.equal(model.state_dict()[name], built[name]) for name in names)


class TestTheTeachersOwnShape:
    @pytest.mark.parametrize(
        ("shape", "head"),
        [
            ("plain", HEAD),
            ("plain", Head(kind=HeadKind.MASKED_LM)),
            ("mobile", Head(kind=HeadKind.MASKED_LM)),
            ("mobile", Head(kind=HeadKind.REGRESSION)),
            ("bottleneck", Head(classes=3, pooling=Pooling.CLS)),
            ("bottleneck", Head(kind=HeadKind.QUESTION_ANSWERING)),
            ("sliced", Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)),
            ("narrow words", HEAD),
        ],
        ids=lambda value: value if isinstance(value, str) else value.kind.value,
    )
    def test_copies_every_weight_exactly(self, architecture, made, shape, head):
        architecture = replace(architecture, **OTHER_SHAPES[shape])
        teacher, student = made(architecture, head), build(architecture, head, seed=5)
        report = initialise_from_teacher(student, teacher, importance=norm_importance(teacher))
        assert all(torch.equal(mine, teacher.state_dict()[name]) for name, mine in student.state_dict().items())
        assert set(report.copied) == set(student.state_dict())
        assert report.random == ()
        assert report.embedding_error is None

    def test_computes_what_the_teacher_computes(self, architecture, teacher, ids):
        student = build(architecture, HEAD, seed=5)
        initialise_from_teacher(student, teacher)
        assert torch.equal(student(ids).logits, teacher(ids).logits)

    def test_shares_no_memory_with_the_teacher(self, architecture, teacher):
        student = build(architecture, HEAD)
        initialise_from_teacher(student, teacher)
        before = state(teacher)
        with torch.no_grad():
            for weight in student.parameters():
                weight.zero_()
        assert as_built(teacher, before, before)

    def test_with_another_activation_has_the_same_weights(self, architecture, teacher):
        student = build(replace(architecture, activation=Activation.RELU), HEAD)
        assert initialise_from_teacher(student, teacher).random == ()

    def test_without_normalisation_has_the_norms_weights_and_biases(self, architecture, teacher):
        student = build(replace(architecture, norm=Norm.NO_NORM), HEAD)
        initialise_from_teacher(student, teacher)
        assert as_built(student, teacher.state_dict(), student.state_dict())


class TestLayers:
    @pytest.mark.parametrize(
        ("choice", "teacher", "student", "layers"),
        [
            (LayerChoice.LOWER, 12, 4, (0, 1, 2, 3)),
            (LayerChoice.UNIFORM, 12, 4, (2, 5, 8, 11)),
            (LayerChoice.UNIFORM, 5, 3, (0, 2, 4)),
            (LayerChoice.UPPER, 12, 4, (8, 9, 10, 11)),
            *((choice, 3, 3, (0, 1, 2)) for choice in LayerChoice),
        ],
    )
    def test_are_those_of_the_choice(self, choice, teacher, student, layers):
        assert chosen_layers(choice, teacher, student) == layers

    @pytest.mark.parametrize("choice", LayerChoice)
    def test_are_copied_by_their_choice(self, architecture, teacher, choice):
        student = build(replace(architecture, layers=2), HEAD)
        report = initialise_from_teacher(student, teacher, layers=choice)
        assert report.layers == chosen_layers(choice, 3, 2)
        for mine, theirs in enumerate(report.layers):
            of_teacher = teacher.encoder.layers[theirs].state_dict()
            assert as_built(student.encoder.layers[mine], of_teacher, of_teacher)

    def test_lower_ones_compute_what_the_teachers_do(self, architecture, teacher, ids):
        student = build(replace(architecture, layers=2), HEAD, seed=5)
        initialise_from_teacher(student, teacher)
        of_teacher = teacher(ids, output_hidden_states=True).hidden_states
        for mine, theirs in zip(student(ids, output_hidden_states=True).hidden_states, of_teacher, strict=False):
            torch.testing.assert_close(mine, theirs)


class TestWidths:
    def test_fewer_heads_stand_for_all_of_the_teachers(self, architecture, teacher, ids):
        student = build(replace(architecture, heads=3), HEAD)
        initialise_from_teacher(student, teacher)
        with torch.no_grad():
            for layer in teacher.encoder.layers:
                layer.attention.output.weight[:, 3 * architecture.head_size :] = 0
                layer.attention.output.weight *= 4 / 3
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    def test_fewer_neurons_stand_for_all_of_the_teachers(self, architecture, teacher, ids):
        student = build(replace(architecture, ffn_size=25), HEAD)
        initialise_from_teacher(student, teacher)
        with torch.no_grad():
            for layer in teacher.encoder.layers:
                layer.feed_forward[0].down.weight[:, 25:] = 0
                layer.feed_forward[0].down.weight *= 40 / 25
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    def test_smaller_heads_keep_the_leading_units_of_each_head(self, architecture, teacher):
        student = build(replace(architecture, heads=2, head_size=3, hidden_size=10), HEAD)
        initialise_from_teacher(student, teacher)
        mine, theirs = student.encoder.layers[1].attention, teacher.encoder.layers[1].attention
        rows = [0, 1, 2, 7, 8, 9]  # of heads of 7 units: the first 3 of the first two
        for name in ("query", "key", "value"):
            weight = getattr(theirs, name).weight[rows, :10] * (24 / 10)
            torch.testing.assert_close(getattr(mine, name).weight, weight)
            assert torch.equal(getattr(mine, name).bias, getattr(theirs, name).bias[rows])
        torch.testing.assert_close(mine.output.weight, theirs.output.weight[:10][:, rows] * (28 / 6))
        assert torch.equal(mine.output.bias, theirs.output.bias[:10])

    def test_narrower_hidden_states_are_the_leading_units_and_what_reads_them_is_scaled(self, architecture, teacher):
        student = build(replace(architecture, hidden_size=16, max_positions=8, token_types=1), HEAD)
        report = initialise_from_teacher(student, teacher)
        mine, theirs = student.encoder, teacher.encoder
        assert report.hidden_units == tuple(range(16))
        assert torch.equal(mine.embeddings.word.weight, theirs.embeddings.word.weight[:, :16])
        assert torch.equal(mine.embeddings.position.weight, theirs.embeddings.position.weight[:8, :16])
        assert torch.equal(mine.embeddings.token_type.weight, theirs.embeddings.token_type.weight[:1, :16])
        assert torch.equal(mine.embeddings.norm.bias, theirs.embeddings.norm.bias[:16])
        for own, other in zip(mine.layers, theirs.layers, strict=True):
            up, down = other.feed_forward[0].up, other.feed_forward[0].down
            torch.testing.assert_close(own.feed_forward[0].up.weight, up.weight[:, :16] * 1.5)
            assert torch.equal(own.feed_forward[0].down.weight, down.weight[:16])
            assert torch.equal(own.attention.norm.weight, other.attention.norm.weight[:16])
        torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight[:, :16] * 1.5)

    def test_each_layer_may_keep_heads_and_neurons_of_its_own_or_none(self, architecture, teacher, ids):
        student = build(replace(architecture, heads=(4, 0, 2), ffn_size=(0, 40, 8)), HEAD)
        assert initialise_from_teacher(student, teacher).random == ()
        with torch.no_grad():
            for layer, heads, neurons in zip(teacher.encoder.layers, (4, 0, 2), (0, 40, 8), strict=True):
                output, down = layer.attention.output, layer.feed_forward[0].down
                output.weight[:, 7 * heads :] = 0
                output.weight *= 4 / max(heads, 1)
                output.bias *= heads > 0
                down.weight[:, neurons:] = 0
                down.weight *= 40 / max(neurons, 1)
                down.bias *= neurons > 0
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)


class TestRescalingByVariance:
    def test_what_reads_fewer_hidden_units_is_scaled_by_the_root_and_nothing_else_is(self, architecture, teacher):
        student = build(replace(architecture, hidden_size=16, heads=2, head_size=3, ffn_size=10), HEAD)
        initialise_from_teacher(student, teacher, rescaling=Rescaling.VARIANCE)
        root = (24 / 16) ** 0.5
        rows = [0, 1, 2, 7, 8, 9]  # of heads of 7 units: the first 3 of the first two
        for own, other in zip(student.encoder.layers, teacher.encoder.layers, strict=True):
            mine, theirs = own.attention, other.attention
            torch.testing.assert_close(mine.query.weight, theirs.query.weight[rows, :16] * root)
            assert torch.equal(mine.output.weight, theirs.output.weight[:16][:, rows])
            up, down = other.feed_forward[0].up, other.feed_forward[0].down
            torch.testing.assert_close(own.feed_forward[0].up.weight, up.weight[:10, :16] * root)
            assert torch.equal(own.feed_forward[0].down.weight, down.weight[:16, :10])
        torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight[:, :16] * root)

    def test_by_importance_it_is_the_root_of_the_importance_that_is_kept(self, architecture, teacher):
        scores = torch.arange(24.0).flip(0)
        student = build(replace(architecture, hidden_size=4), HEAD)
        importance = Importance(hidden=scores)
        initialise_from_teacher(student, teacher, importance=importance, rescaling=Rescaling.VARIANCE)
        root = float(scores.sum() / scores[:4].sum()) ** 0.5
        torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight[:, :4] * root)

    def test_of_terms_that_have_nothing_to_do_with_each_other_the_sum_varies_as_it_did(self, made, architecture):
        wide = replace(architecture, hidden_size=512, heads=8, head_size=64)
        teacher = made(wide)
        torch.nn.init.normal_(teacher.classifier.weight, generator=torch.Generator().manual_seed(0))
        student = build(replace(wide, hidden_size=128), HEAD)
        initialise_from_teacher(student, teacher, rescaling=Rescaling.VARIANCE)
        read = torch.randn(4000, 512, generator=torch.Generator().manual_seed(1))
        whole = read @ teacher.classifier.weight.T
        part = read[:, :128] @ student.classifier.weight.T
        torch.testing.assert_close(part.std(dim=0), whole.std(dim=0), rtol=0.2, atol=0.0)


class TestImportance:
    def test_heads_and_neurons_that_write_nothing_are_dropped_without_a_change(self, architecture, teacher, ids):
        with torch.no_grad():
            for layer in teacher.encoder.layers:
                layer.attention.output.weight[:, 7:14] = 0
                layer.feed_forward[0].down.weight[:, 3:18] = 0
        student = build(replace(architecture, heads=3, ffn_size=25), HEAD)
        initialise_from_teacher(student, teacher, importance=norm_importance(teacher))
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    def test_hidden_units_that_nothing_reads_are_dropped_without_a_change_where_nothing_is_normalised(
        self, mobile, made, ids
    ):
        teacher, dead = made(mobile), [0, 5, 11]
        with torch.no_grad():
            for layer in teacher.encoder.layers:
                for each in (layer.bottleneck.linear, layer.shared.linear, layer.attention.value):
                    each.weight[:, dead] = 0
            teacher.classifier.weight[:, dead] = 0
        student = build(replace(mobile, hidden_size=21), HEAD)
        report = initialise_from_teacher(student, teacher, importance=norm_importance(teacher))
        assert report.hidden_units == tuple(unit for unit in range(24) if unit not in dead)
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    def test_the_most_important_units_are_kept_in_the_teachers_order(self, architecture, teacher):
        scores = torch.arange(24.0).flip(0)
        scores[20] = 50.0
        student = build(replace(architecture, hidden_size=4), HEAD)
        report = initialise_from_teacher(student, teacher, importance=Importance(hidden=scores))
        assert report.hidden_units == (0, 1, 2, 20)
        gain = float(scores.sum() / scores[[0, 1, 2, 20]].sum())
        torch.testing.assert_close(student.classifier.weight, teacher.classifier.weight[:, [0, 1, 2, 20]] * gain)

    def test_in_descending_order_the_same_is_computed_and_leading_slices_are_the_most_important(
        self, architecture, teacher, ids
    ):
        importance, small = norm_importance(teacher), replace(architecture, hidden_size=12, heads=2, ffn_size=9)
        ordered, direct = build(architecture, HEAD), build(small, HEAD)
        initialise_from_teacher(ordered, teacher, importance=importance, descending=True)
        torch.testing.assert_close(ordered(ids).logits, teacher(ids).logits, **CLOSE)
        initialise_from_teacher(direct, teacher, importance=importance, descending=True)
        for name, linear in linears(direct).items():
            if "output" in name or "up" in name or "down" in name:
                whole = linears(ordered)[name].weight[tuple(slice(size) for size in linear.weight.shape)]
                ratio = linear.weight / whole
                torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))

    def test_by_norm_is_zero_for_units_without_a_use_and_positive_for_others(self, architecture, made):
        teacher = made(replace(architecture, heads=(4, 0, 2), ffn_size=(40, 0, 8)))
        importance = norm_importance(teacher)
        assert [len(scores) for scores in importance.heads] == [4, 0, 2]
        assert [scores.shape for scores in importance.neurons] == [(1, 40), (1, 0), (1, 8)]
        assert all((scores > 0).all() for scores in (importance.hidden, *importance.heads, *importance.neurons))

    def test_of_a_head_is_the_norm_of_what_it_writes_for_what_it_reads(self, teacher):
        attention = teacher.encoder.layers[0].attention
        value = torch.cat((attention.value.weight, attention.value.bias[:, None]), dim=1)
        of_second = (attention.output.weight[:, 7:14] @ value[7:14]).norm()
        torch.testing.assert_close(norm_importance(teacher).heads[0][1], of_second.detach())

    @pytest.mark.parametrize(
        ("importance", "message"),
        [
            (Importance(hidden=torch.ones(23)), "hidden has \\[23\\] values, the teacher \\[24\\]"),
            (Importance(heads=(torch.ones(4),) * 2), "heads"),
            (Importance(neurons=(torch.ones(41),) * 3), "neurons"),
            (Importance(hidden=torch.full((24,), float("nan"))), "hidden has values"),
            (Importance(hidden=-torch.ones(24)), "hidden has values"),
        ],
    )
    def test_of_another_model_is_refused(self, architecture, teacher, importance, message):
        student = build(architecture, HEAD)
        built = state(student)
        with pytest.raises(InitialisationError, match=message):
            initialise_from_teacher(student, teacher, importance=importance)
        assert as_built(student, built, built)


class TestStacks:
    @pytest.mark.parametrize("norm", Norm)
    @pytest.mark.parametrize("stacks", [2, 4])
    def test_further_ones_change_nothing_at_first(self, architecture, made, ids, norm, stacks):
        teacher = made(replace(architecture, norm=norm))
        student = build(replace(architecture, norm=norm, ffn_stacks=stacks), HEAD, seed=5)
        report = initialise_from_teacher(student, teacher)
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)
        assert {name.split(".", 3)[3] for name in report.random} == {
            f"feed_forward.{stack}.up.{part}" for stack in range(1, stacks) for part in ("weight", "bias")
        }

    def test_fewer_are_those_of_the_choice(self, mobile, made):
        teacher, student = made(mobile), build(replace(mobile, ffn_stacks=1), HEAD)
        initialise_from_teacher(student, teacher, layers=LayerChoice.UNIFORM)
        mine, theirs = student.encoder.layers[1].feed_forward[0], teacher.encoder.layers[1].feed_forward[2]
        assert torch.equal(mine.down.weight, theirs.down.weight)

    def test_importance_is_of_each(self, mobile, made):
        teacher, student = made(mobile), build(replace(mobile, ffn_size=1), HEAD)
        scores = torch.zeros(3, 40)
        scores[0, 7] = scores[1, 8] = scores[2, 9] = 1
        initialise_from_teacher(student, teacher, importance=Importance(neurons=(scores,) * 3))
        for stack, neuron in enumerate((7, 8, 9)):
            mine, theirs = (model.encoder.layers[2].feed_forward[stack] for model in (student, teacher))
            assert torch.equal(mine.up.weight, theirs.up.weight[[neuron]])


class TestBottlenecks:
    def test_are_the_teachers_leading_units(self, mobile, made):
        teacher, student = made(mobile), build(replace(mobile, bottleneck_size=8, hidden_size=16), HEAD)
        assert initialise_from_teacher(student, teacher).random == ()
        mine, theirs = student.encoder.layers[0], teacher.encoder.layers[0]
        torch.testing.assert_close(mine.bottleneck.linear.weight, theirs.bottleneck.linear.weight[:8, :16] * 1.5)
        torch.testing.assert_close(mine.expansion.linear.weight, theirs.expansion.linear.weight[:16, :8] * 1.5)
        torch.testing.assert_close(mine.attention.query.weight, theirs.attention.query.weight[:, :8] * 1.5)
        torch.testing.assert_close(mine.attention.value.weight, theirs.attention.value.weight[:, :16] * 1.5)
        torch.testing.assert_close(mine.attention.norm.bias, theirs.attention.norm.bias[:8])

    def test_what_reads_another_input_than_the_teachers_stays_as_built(self, mobile, made):
        teacher = made(mobile)
        student = build(replace(mobile, attention_input=AttentionInput.INPUT), HEAD)
        report = initialise_from_teacher(student, teacher)
        assert {name.rsplit(".", 2)[1] for name in report.random} == {"query", "key"}

    @pytest.mark.parametrize("deeper", [False, True])
    def test_a_bottlenecked_student_of_a_plain_teacher_keeps_its_blocks(self, mobile, teacher, deeper):
        student = build(replace(mobile, layers=5 if deeper else 2, heads=9, ffn_size=99), HEAD)
        built = state(student)
        report = initialise_from_teacher(student, teacher)
        blocks = {name for name in built if name.startswith("encoder.layers.")}
        assert report.layers == ()
        assert set(report.random) == blocks
        assert as_built(student, built, blocks)
        assert torch.equal(student.classifier.weight, teacher.classifier.weight)


class TestWords:
    def test_of_another_width_are_a_truncated_svd(self, architecture, teacher):
        student = build(replace(architecture, embedding_size=10, hidden_size=18), HEAD)
        report = initialise_from_teacher(student, teacher)
        table = teacher.encoder.embeddings.word.weight[:, :18].detach()
        lost = torch.linalg.svdvals(table)[10:].norm() / table.norm()
        assert report.embedding_error == pytest.approx(float(lost), rel=1e-4)
        words = student.encoder.embeddings
        approximation = words.projection(words.word.weight).detach()
        assert float((approximation - table).norm() / table.norm()) == pytest.approx(report.embedding_error, rel=1e-4)

    @pytest.mark.parametrize("trigram", [False, True])
    @pytest.mark.parametrize("width", [24, 30])
    def test_that_are_wide_enough_lose_nothing(self, architecture, teacher, ids, trigram, width):
        # At the hidden size a trigram's words are mapped, others are not: 30 is mapped in both.
        student = build(replace(architecture, embedding_size=width, trigram=trigram), HEAD)
        report = initialise_from_teacher(student, teacher)
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)
        assert report.embedding_error is None or report.embedding_error < 1e-6

    def test_a_trigram_begins_with_the_token_itself(self, architecture, teacher):
        student = build(replace(architecture, embedding_size=10, trigram=True), HEAD)
        initialise_from_teacher(student, teacher)
        after, itself, before = student.encoder.embeddings.projection.weight.split(10, dim=1)
        assert not after.any()
        assert not before.any()
        assert itself.any()

    def test_of_a_narrower_trigram_keep_the_neighbours(self, mobile, made, ids):
        teacher = made(mobile)
        with torch.no_grad():
            teacher.encoder.embeddings.word.weight[:, 6:] = 0
        student = build(replace(mobile, embedding_size=6), HEAD)
        assert initialise_from_teacher(student, teacher).embedding_error < 1e-6
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    def test_that_the_teacher_maps_become_hidden_units(self, architecture, made, ids):
        teacher = made(replace(architecture, embedding_size=10))
        student = build(architecture, HEAD)
        assert initialise_from_teacher(student, teacher).embedding_error is None
        torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)

    @pytest.mark.parametrize("shape", ["plain", "mobile"])
    def test_without_types_compute_what_the_teacher_does_for_type_zero(self, architecture, made, ids, shape):
        architecture = replace(architecture, **OTHER_SHAPES[shape])
        for head in (HEAD, Head(kind=HeadKind.MASKED_LM)):
            teacher, student = made(architecture, head), build(replace(architecture, token_types=0), head)
            initialise_from_teacher(student, teacher)
            torch.testing.assert_close(student(ids).logits, teacher(ids).logits, **CLOSE)


class TestHeads:
    @pytest.mark.parametrize("labels", [["a", "b"], ["b", "a", "c"]])
    def test_of_other_classes_stay_as_built(self, architecture, made, labels):
        teacher = made(architecture, HEAD, ["a", "b", "c"])
        student = build(architecture, Head(classes=len(labels)), labels)
        built = state(student)
        report = initialise_from_teacher(student, teacher)
        assert report.random == ("classifier.weight", "classifier.bias")
        assert as_built(student, built, report.random)

    def test_of_as_many_classes_without_names_are_copied(self, architecture, made):
        teacher, student = made(architecture, HEAD, ["a", "b", "c"]), build(architecture, HEAD)
        assert initialise_from_teacher(student, teacher).random == ()

    @pytest.mark.parametrize(
        ("shape", "head"),
        [
            ({}, Head(kind=HeadKind.TOKEN_CLASSIFICATION, classes=3)),
            ({}, Head(kind=HeadKind.MASKED_LM)),
            ({}, HEAD),
            ({"pooler": Pooler.NONE}, Head(classes=3, pooling=Pooling.CLS)),
        ],
    )
    def test_that_read_something_else_stay_as_built(self, architecture, made, shape, head):
        architecture = replace(architecture, pooler=Pooler.TANH)
        teacher = made(architecture, Head(classes=3, pooling=Pooling.CLS))
        student = build(replace(architecture, **shape), head)
        random = initialise_from_teacher(student, teacher).random
        assert random == tuple(name for name in student.state_dict() if not name.startswith("encoder."))

    def test_a_pooler_that_the_teacher_has_not_stays_as_built(self, architecture, teacher):
        student = build(replace(architecture, pooler=Pooler.TANH), HEAD)
        random = initialise_from_teacher(student, teacher).random
        assert random == ("encoder.pooler.weight", "encoder.pooler.bias")

    def test_of_masked_words_of_another_width_keep_the_bias(self, architecture, made):
        head = Head(kind=HeadKind.MASKED_LM)
        student = build(replace(architecture, embedding_size=10), head)
        report = initialise_from_teacher(student, made(architecture, head))
        assert set(report.random) == {"transform.weight", "transform.bias", "norm.weight", "norm.bias"}


class TestAPreviousStudent:
    def test_of_the_same_shape_is_copied(self, mobile, made):
        previous, student = made(mobile), build(mobile, HEAD)
        assert initialise_from_student(student, previous).random == ()
        assert as_built(student, previous.state_dict(), previous.state_dict())

    def test_that_is_larger_is_sliced_as_a_teacher(self, architecture, teacher):
        small = replace(architecture, hidden_size=16, layers=2, heads=2, ffn_size=9)
        students = [build(small, HEAD), build(small, HEAD)]
        initialise_from_student(students[0], teacher)
        initialise_from_teacher(students[1], teacher)
        assert as_built(students[0], students[1].state_dict(), students[1].state_dict())

    def test_that_is_smaller_becomes_the_leading_part(self, architecture, made):
        small = replace(architecture, hidden_size=16, layers=2, heads=2, head_size=5, ffn_size=9, max_positions=11)
        previous, student = made(small), build(architecture, HEAD)
        built = state(student)
        report = initialise_from_student(student, previous)
        mine, theirs = student.encoder, previous.encoder
        assert torch.equal(mine.embeddings.word.weight[:, :16], theirs.embeddings.word.weight)
        assert as_built(student, built, report.random)
        assert {name.split(".")[2] for name in report.random} == {"2"}
        rows = [*range(5), *range(7, 12)]  # heads of 7 units begin with the 5 of theirs
        query = mine.layers[1].attention.query.weight
        assert torch.equal(query[rows, :16], theirs.layers[1].attention.query.weight)
        assert torch.equal(query[:, 16:], built["encoder.layers.1.attention.query.weight"][:, 16:])
        down = mine.layers[1].feed_forward[0].down.weight
        assert torch.equal(down[:16, :9], theirs.layers[1].feed_forward[0].down.weight)

    def test_of_another_vocabulary_is_refused(self, architecture, teacher):
        with pytest.raises(InitialisationError, match="vocabulary_size of 59 is not the teacher's 60"):
            initialise_from_student(build(replace(architecture, vocabulary_size=59), HEAD), teacher)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", 4),
        ("hidden_size", 25),
        ("heads", 5),
        ("head_size", 8),
        ("ffn_size", 41),
        ("max_positions", 21),
        ("token_types", 3),
        ("vocabulary_size", 59),
    ],
)
def test_what_the_teacher_cannot_give_is_refused_by_name_and_nothing_changes(architecture, teacher, name, value):
    student = build(replace(architecture, **{name: value}), HEAD)
    built = state(student)
    with pytest.raises(InitialisationError, match=f"the student's {name} of {value}"):
        initialise_from_teacher(student, teacher)
    assert as_built(student, built, built)


def test_a_layer_with_more_than_its_own_teacher_layer_is_refused(architecture, made):
    teacher = made(replace(architecture, heads=(4, 2, 4)))
    student = build(replace(architecture, heads=(2, 3, 2)), HEAD)
    with pytest.raises(InitialisationError, match="heads of 3 in layer 1 is more than the teacher's 2 in layer 1"):
        initialise_from_teacher(student, teacher)


def test_a_wider_bottleneck_is_refused(mobile, made):
    with pytest.raises(InitialisationError, match="bottleneck_size of 13 is more than the teacher's 12"):
        initialise_from_teacher(build(replace(mobile, bottleneck_size=13), HEAD), made(mobile))
