from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from protocol.jobs import FailureReason, JobKind, Measured
from protocol.study import StudySpec
from protocol.views import StudyState, TrialState
from search_space import Architecture, parameter_count
from service.errors import InvalidError, LeaseLostError, NotFoundError, StudyDiffersError
from service.operations.failures import fail_study
from service.operations.preview import preview
from service.operations.studies import parse_spec
from service.operations.trials import add_trial
from service.operations.views import front_view, study_page, study_view, trial_view
from tests.outcomes import SEARCH_SPACE, TEACHER

FLASH_STEPS = 50  # the least for classification, and 5 % of the full 1,000


def searching(worker, **changes):
    worker.create(**changes)
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)


def add(worker, *architectures):
    with worker.store.write() as uow:
        study = uow.studies.lock(1)
        for architecture in architectures:
            add_trial(uow, study, architecture, "test")


def small(ffn_size, layers=1):
    return Architecture(vocabulary_size=100, layers=layers, hidden_size=32, heads=2, head_size=16, ffn_size=ffn_size)


def shape(ffn_size, layers=1):
    return {"layers": layers, "hidden_size": 32, "heads": 2, "head_size": 16, "ffn_size": ffn_size}


def test_new_study_prepares_first(worker, clock):
    assert worker.create()
    study = worker.study()
    assert study.state is StudyState.PREPARING
    assert [job.kind for job in study.jobs] == [JobKind.PREPARE]
    assert study.created_at == clock()
    assert study.remaining_s is None


def test_same_study_again_is_the_same_study(worker):
    assert worker.create()
    assert not worker.create()
    assert len(worker.study().jobs) == 1


def test_other_study_of_the_same_name_is_refused_with_the_difference(worker):
    worker.create(budget={"trials": 16})
    with pytest.raises(StudyDiffersError) as refused:
        worker.create(budget={"trials": 32})
    assert refused.value.errors == ["budget.trials: 16 -> 32"]


@pytest.mark.parametrize("changes", [{}, {"seed": 7}])
def test_study_that_failed_before_its_first_trial_starts_afresh(worker, clock, changes):
    worker.create(constraints=["latency_p50 <= 0.5 ms"])
    worker.work()
    assert worker.study().state is StudyState.FAILED
    clock.advance(1)
    assert worker.create(**changes)
    study = worker.study()
    assert study.state is StudyState.PREPARING
    assert study.spec.seed == changes.get("seed", 0)
    assert (study.prepared, study.error, study.ended_at, study.references) == (None, None, None, {})
    assert study.notes == ()
    assert study.created_at == clock()
    assert not worker.create(**changes)
    worker.work()
    assert worker.study().state is StudyState.SEARCHING


def test_study_that_starts_afresh_hears_nothing_of_its_earlier_jobs(worker):
    worker.create()
    before = worker.lease()
    worker.fail(before, FailureReason.INVALID)
    worker.create()
    after = worker.lease()
    assert after.job != before.job
    with pytest.raises(LeaseLostError):
        worker.report(before)
    worker.fail(before, FailureReason.INVALID)  # the same report again
    assert worker.study().state is StudyState.PREPARING


def test_study_that_failed_after_trials_stays(worker):
    searching(worker)
    worker.work()
    with worker.store.write() as uow:
        fail_study(uow, uow.studies.lock(1), "broken", FailureReason.ERROR)
    assert not worker.create()
    with pytest.raises(StudyDiffersError):
        worker.create(seed=7)


def test_failed_study_restarted_by_several_at_once_is_restarted_once(worker):
    worker.create()
    worker.fail(worker.lease(), FailureReason.INVALID)
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda _: worker.create(seed=7), range(6)))
    assert sorted(created) == [False] * 5 + [True]
    assert len(worker.study().jobs) == 1


def test_study_created_by_several_at_once_is_created_once(worker):
    with ThreadPoolExecutor(6) as pool:
        created = list(pool.map(lambda _: worker.create(), range(6)))
    assert sorted(created) == [False] * 5 + [True]
    assert len(worker.study().jobs) == 1


def test_every_wrong_key_of_a_specification_is_named(spec):
    spec["budgett"] = {}
    spec["budget"]["trials"] = 0
    del spec["teacher"]
    with pytest.raises(InvalidError) as refused:
        parse_spec(spec)
    text = "\n".join(refused.value.errors)
    assert "budgett: unknown key" in text
    assert "teacher: is missing" in text
    assert "budget.trials: " in text


def test_preview_counts_the_space(spec):
    view = preview(StudySpec.model_validate(spec))
    assert view.size == view.grid_points == 4 * 3 * 3 * 3
    for spread in (view.parameters, view.flops, view.weight_bytes):
        assert 0 < spread.minimum < spread.median < spread.maximum
    assert view.weight_bytes.maximum == 4 * view.parameters.maximum
    assert view.constraints == ()


def test_preview_counts_the_costs_on_the_target(spec):
    view = preview(StudySpec.model_validate(spec))
    spec["target"] |= {"batch": 3}
    assert preview(StudySpec.model_validate(spec)).flops.median == 3 * view.flops.median


def test_preview_says_who_meets_each_constraint_by_itself(spec):
    spec["search_space"]["constraints"] = ["layers <= 2", "parameters >= 1000", "parameters <= 30000"]
    spec["constraints"] = ["latency_p50 <= 4 ms", "accuracy >= 0.5", "parameters <= 20000", "parameters >= 5"]
    study = StudySpec.model_validate(spec)
    view = preview(study)
    own = np.asarray(study.unconstrained().columns["parameters"])
    assert [(one.text, one.met_by, one.judged) for one in view.constraints] == [
        ("layers <= 2", 54, "at once"),
        ("parameters >= 1000", None, "when the teacher's vocabulary is known"),
        ("parameters <= 30000", (own <= 30_000).sum(), "at once"),
        ("latency_p50 <= 4 ms", None, "when measured"),
        ("accuracy >= 0.5", None, "when distilled"),
        ("parameters <= 20k", (own <= 20_000).sum(), "at once"),
        ("parameters >= 5", None, "when the teacher's vocabulary is known"),
    ]
    assert {one.of for one in view.constraints} == {108}
    assert view.size < min(one.met_by for one in view.constraints if one.met_by is not None)


def test_preview_of_a_constraint_that_only_the_others_keep_from_dividing_by_zero(spec):
    spec["search_space"] |= {
        "bottleneck_size": [0, 8],
        "constraints": ["bottleneck_size > 0", "4 / bottleneck_size < 1"],
    }
    view = preview(StudySpec.model_validate(spec))
    assert view.size == 108
    assert [(one.met_by, one.judged) for one in view.constraints] == [
        (108, "at once"),
        (None, "only of what meets the others"),
    ]


def test_unknown_study_and_trial_are_named(worker):
    with pytest.raises(NotFoundError, match="'nothing'"), worker.store.read() as uow:
        study_view(uow, "nothing")
    worker.create()
    with pytest.raises(NotFoundError, match="no trial 4"), worker.store.read() as uow:
        trial_view(uow, "demo", 4, worker.settings.exports)


def test_calibration_measures_the_teacher_and_the_ends_of_the_space(worker):
    worker.create(constraints=["parameters <= 100k"])
    worker.work(JobKind.PREPARE)
    work = worker.lease().work
    sizes = {name: parameter_count(reference.architecture) for name, reference in work.references.items()}
    assert work.references["teacher"].architecture == worker.answers.teacher
    assert sizes["smallest"] < sizes["largest"] <= 100_000 < sizes["teacher"]
    efforts = {name: reference.effort for name, reference in work.references.items()}
    assert efforts == {"teacher": "search", "smallest": "quick", "largest": "quick"}
    assert work.head.classes == 2


def test_space_is_clipped_to_what_can_be_sliced_from_the_teacher(worker):
    worker.answers.teacher = replace(worker.answers.teacher, layers=2, hidden_size=32, heads=2)
    worker.create()
    worker.work(JobKind.PREPARE)
    largest = worker.lease().work.references["largest"].architecture
    assert (largest.layers, largest.hidden_size, largest.heads) == (2, 32, 2)


def test_space_is_not_clipped_for_students_that_start_at_random(worker):
    worker.answers.teacher = replace(worker.answers.teacher, layers=2, hidden_size=32, heads=2)
    worker.create(distillation={"initialisation": "random", "terms": {"logits": 1}})
    worker.work(JobKind.PREPARE)
    largest = worker.lease().work.references["largest"].architecture
    assert (largest.layers, largest.hidden_size, largest.heads) == (4, 64, 4)


def test_no_student_is_deeper_than_the_teacher_whose_layers_are_matched_to_its_own(worker):
    worker.answers.teacher = replace(worker.answers.teacher, layers=2, hidden_size=32, heads=2)
    worker.create(distillation={"initialisation": "random", "terms": {"hidden_states": 1}})
    worker.work(JobKind.PREPARE)
    largest = worker.lease().work.references["largest"].architecture
    assert (largest.layers, largest.hidden_size, largest.heads) == (2, 64, 4)
    assert largest.vocabulary_size == 100


def test_study_fails_when_the_teacher_leaves_nothing_of_the_space(worker):
    worker.answers.teacher = replace(worker.answers.teacher, hidden_size=8)
    worker.create()
    worker.work(JobKind.PREPARE)
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "hidden_size" in study.error
    assert "smallest has 16" in study.error


def test_latency_that_nobody_can_meet_fails_the_study_before_any_trial(worker):
    worker.create(constraints=["latency_p50 <= 0.5 ms"])
    worker.work()
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "nobody can meet the constraint latency_p50 <= 0.5 ms" in study.error
    assert "1x16" in study.error
    assert worker.trials() == ()


def test_latency_that_even_the_largest_is_below_fails_the_study_before_any_trial(worker):
    worker.create(constraints=["latency_p90 >= 10 s"])
    worker.work()
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "nobody can meet the constraint latency_p90 >= 10 s: the largest architecture" in study.error
    assert worker.trials() == ()


TIED = {**SEARCH_SPACE, "constraints": ["layers * hidden_size == 64", "ffn_size == 32"]}
"""Of these shapes the deepest has the fewest parameters."""


def by_depth(architecture):
    """As where launching a kernel takes longer than what it does."""
    return 1e-3 * architecture.layers


@pytest.mark.parametrize("bound", ["latency_p50 <= 1.5 ms", "latency_p50 >= 3.5 ms"])
def test_latency_that_the_architecture_of_fewest_or_most_parameters_breaks_may_be_met_by_others(worker, bound):
    worker.answers.latency_s = by_depth
    searching(worker, search_space=TIED, constraints=[bound])
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    low, high = (study.references[name].p50_s for name in ("smallest", "largest"))
    assert low > high
    worker.finish({})
    assert worker.study().state is StudyState.COMPLETED


def test_parameters_beyond_the_largest_fail_the_study_before_it_is_calibrated(worker):
    worker.create(constraints=["parameters >= 900M"])
    worker.work()
    study = worker.study()
    assert "nobody can meet the constraint parameters >= 900M: the largest architecture" in study.error
    assert study.references == {}


def test_latency_within_the_interval_of_the_smallest_may_be_met(worker):
    smallest = worker.answers.latency_s(Architecture.from_dict({**small(32).to_dict(), "hidden_size": 16, "heads": 1}))
    worker.create(constraints=[{"metric": "latency_p50", "bound": 0.99 * smallest}])
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    assert worker.study().state is StudyState.SEARCHING


def test_latency_that_hardly_depends_on_the_space_is_noted(worker):
    worker.answers.latency_s = lambda architecture: 1e-3 + 1e-10 * parameter_count(architecture)
    searching(worker)
    notes = worker.study().notes
    assert notes[0] == "a note of the preparation"
    assert "latency hardly depends on the search space" in notes[1]


def test_latency_that_falls_with_size_depends_on_the_space(worker):
    worker.answers.latency_s = lambda architecture: 1e-3 + 1e-2 / architecture.layers
    searching(worker)
    assert worker.study().notes == ("a note of the preparation",)


def told_of_flatness(worker):
    return [note for note in worker.study().notes if "latency hardly depends on" in note]


def test_first_trials_tell_once_whether_latency_depends_on_the_space(worker):
    worker.answers.latency_s = lambda architecture: 1e-3 * (2 if architecture == TEACHER else 1)
    searching(worker, search_space=TIED)
    assert told_of_flatness(worker) == []
    add(worker, *(small(16 * number) for number in range(1, 12)))
    for measured in range(1, 12):
        worker.report(worker.lease(kinds=(JobKind.MEASURE,)))
        assert len(told_of_flatness(worker)) == (measured >= 9)  # the first is the baseline
    assert told_of_flatness(worker) == [
        "latency hardly depends on the search space: the slowest of its first 8 trials takes 1.00 times as long as the"
        " fastest, so a search over latency mostly follows noise"
    ]


def test_first_trials_of_different_latencies_tell_nothing_of_noise(worker):
    searching(worker, search_space=TIED)
    add(worker, *(small(1000 * number) for number in range(1, 12)))
    worker.work(JobKind.MEASURE)
    assert told_of_flatness(worker) == []


def test_references_and_baseline_are_there_when_the_search_begins(worker):
    searching(worker)
    study = worker.study()
    assert study.state is StudyState.SEARCHING
    assert study.notes == ("a note of the preparation",)
    assert set(study.references) == {"teacher", "smallest", "largest"}
    assert study.references["teacher"].p50_s == worker.answers.latency_s(worker.answers.teacher)
    assert study.references["teacher"].samples == 10
    (baseline,) = worker.trials()
    assert baseline.origin == "baseline: half-depth"
    assert baseline.architecture == replace(worker.answers.teacher, layers=2)


@pytest.mark.parametrize(("runtime", "count"), [("torch", 0), ("onnx", 0), ("onnx_int8", 1)])
def test_study_whose_target_quantises_says_that_accuracies_are_of_the_model_as_it_was(worker, runtime, count):
    worker.create(target={"batch": 1, "length": 32, "threads": 1, "runtime": runtime})
    worker.work(JobKind.PREPARE)
    assert sum("quantised to 8 bits" in note for note in worker.study().notes) == count


def test_named_baselines_replace_the_usual_one(worker):
    searching(worker, baselines={"tiny": shape(77), "same": shape(77), "huge": shape(64, layers=9)})
    assert [trial.origin for trial in worker.trials()] == ["baseline: tiny"]
    assert [note.partition(":")[0] for note in worker.study().notes[1:]] == [
        "baseline same is left out",
        "baseline huge is left out",
    ]


def test_trial_that_breaks_a_known_constraint_is_not_trained(worker):
    searching(worker, constraints=["latency_p90 <= 2 ms"], baselines={"slow": shape(100_000)}, distillation=RANDOM)
    worker.work()
    (trial,) = worker.trials()
    assert trial.state is TrialState.INFEASIBLE
    assert "breaks latency_p90 <= 2 ms" in trial.reason
    assert trial.evaluation is None
    assert set(trial.metrics) == {"latency_p50", "latency_p90", "latency_p99", "parameters"}


def test_measured_trial_is_distilled_at_flash_fidelity(worker):
    searching(worker, budget={"trials": 6, "flash": 0.3, "flash_floor": 10})
    worker.work(JobKind.MEASURE)
    assert worker.trials()[0].state is TrialState.DISTILLING
    work = worker.lease().work
    assert (work.fidelity, work.steps) == ("flash", 300)
    assert (work.data, work.teacher) == (worker.artefact("data"), worker.artefact("teacher"))


def test_distilled_trial_is_completed_with_its_metrics(worker, clock):
    searching(worker)
    worker.work(JobKind.MEASURE)
    clock.advance(7)
    worker.work(JobKind.DISTILL)
    (trial,) = worker.trials()
    assert trial.state is TrialState.COMPLETED
    assert trial.on_front
    assert trial.ended_at == clock()
    assert trial.metrics["accuracy"] == trial.evaluation.selection.value
    assert trial.metrics["latency_p50"] == trial.latency.p50_s
    assert trial.metrics["parameters"] == parameter_count(trial.architecture)
    assert trial.evaluation.curve[-1].step == trial.evaluation.steps == FLASH_STEPS
    with worker.store.read() as uow:
        (measured,) = uow.trials.measurements(1)
        assert measured.samples_s == [[trial.latency.p50_s] * 5, [trial.latency.p50_s * 1.01] * 5]


SIZE = {"accuracy": "maximize", "parameters": "minimize"}


@pytest.mark.parametrize(
    ("changes", "quantiles"),
    [
        ({}, ("p50",)),
        ({"objectives": {"accuracy": "maximize", "latency_p99": "minimize"}}, ("p99",)),
        ({"constraints": ["latency_p90 <= 1 s"]}, ("p50",)),
        ({"objectives": SIZE, "constraints": ["latency_p90 <= 1 s"]}, ("p90",)),
        ({"objectives": SIZE}, ("p50",)),
    ],
)
def test_what_is_measured_counts_by_the_quantile_that_decides(worker, changes, quantiles):
    worker.create(**changes)
    worker.work(JobKind.PREPARE)
    assert worker.lease().work.quantiles == quantiles


def test_latency_says_of_how_many_calls_it_is_although_not_all_are_kept(worker):
    searching(worker)
    grant = worker.lease()
    outcome = worker.answers.to(grant.work)
    worker.report(grant, Measured(measurement=replace(outcome.measurement, calls=123_456)))
    assert worker.trials()[0].latency.samples == 123_456


def test_distilled_trial_below_a_bound_on_quality_is_infeasible(worker):
    searching(worker, constraints=["accuracy >= 99 %"])
    worker.work()
    (trial,) = worker.trials()
    assert trial.state is TrialState.INFEASIBLE
    assert "breaks accuracy >= 0.99" in trial.reason
    assert trial.evaluation is not None


def test_failed_trial_says_why_and_the_study_goes_on(worker):
    searching(worker)
    worker.work(JobKind.MEASURE)
    worker.fail(worker.lease(), FailureReason.DIVERGED, "the loss became nan")
    (trial,) = worker.trials()
    assert trial.state is TrialState.FAILED
    assert "diverged: the loss became nan" in trial.reason
    assert worker.study().state is StudyState.SEARCHING


def test_study_whose_trials_keep_failing_is_given_up(worker):
    searching(worker)
    worker.work()
    add(worker, *(small(100 + number) for number in range(5)))
    for number in range(5):
        assert worker.study().state is StudyState.SEARCHING
        worker.fail(worker.lease(), FailureReason.INVALID, f"failure {number}")
    study = worker.study()
    assert study.state is StudyState.FAILED
    assert "5 trials failed and only 1 did not" in study.error
    assert "failure 4" in study.error
    assert study.failure is FailureReason.INVALID


@pytest.mark.parametrize("reason", [FailureReason.INVALID, FailureReason.DIVERGED])
def test_failed_study_says_why_for_programs_until_it_is_started_afresh(worker, reason):
    worker.create()
    assert worker.study().failure is None
    worker.fail(worker.lease(), reason)
    assert worker.study().failure is reason
    worker.create()
    assert worker.study().failure is None


def test_study_whose_job_is_lost_too_often_says_so_for_programs(worker, clock, settings):
    worker.create()
    for _ in range(settings.max_attempts):
        assert worker.lease() is not None
        clock.advance(settings.lease_s + 1)
    assert worker.lease() is None
    assert worker.study().failure is FailureReason.LEASE_EXPIRED


def test_study_that_cannot_be_met_is_invalid_and_the_constraint_is_named_by_its_key(worker):
    worker.create(constraints=["accuracy >= 10 %", "latency_p50 <= 0.5 ms"])
    worker.work(JobKind.PREPARE, JobKind.CALIBRATE)
    study = worker.study()
    assert study.failure is FailureReason.INVALID
    assert study.error.startswith("constraints.1: nobody can meet the constraint latency_p50 <= 0.5 ms")


def test_front_and_its_history_start_with_the_third_completed_trial(worker, clock):
    searching(worker)
    worker.work()
    add(worker, small(32))
    worker.work()
    with worker.store.read() as uow:
        early = front_view(uow, "demo")
    assert len(early.numbers) == 2
    assert early.hypervolume is None
    clock.advance(1)
    add(worker, small(48))
    worker.work()
    clock.advance(1)
    add(worker, small(64))
    worker.work()
    with worker.store.read() as uow:
        view = front_view(uow, "demo")
    assert view.numbers == (1, 2, 3, 4)
    assert [point.trials for point in view.history] == [1, 2, 3, 4]
    volumes = [point.hypervolume for point in view.history]
    assert volumes == sorted(volumes)
    assert volumes[-1] == view.hypervolume == worker.study().hypervolume > volumes[0]


def test_failed_trial_counts_neither_against_the_budget_nor_in_the_history(worker):
    searching(worker, baselines={f"b{number}": shape(16 * number) for number in (1, 2, 3, 4)})
    worker.fail(worker.lease(), FailureReason.DIVERGED)
    worker.work()
    assert worker.study().trials == {"completed": 3, "failed": 1}
    assert worker.study().spent_trials == 3
    with worker.store.read() as uow:
        assert [point.trials for point in front_view(uow, "demo").history] == [1, 2, 3]


def test_reference_point_is_inferred_once(worker):
    searching(worker, baselines={f"b{number}": shape(16 * number) for number in (1, 2, 3)})
    worker.work()
    with worker.store.read() as uow:
        first = front_view(uow, "demo").reference
    add(worker, small(50_000))
    worker.work()
    with worker.store.read() as uow:
        assert front_view(uow, "demo").reference == first


def test_remaining_time_counts_what_is_left(worker, clock):
    """6 trials: one done, one to be measured, four to come; then 2 finalists of the full steps."""
    searching(worker)
    assert worker.study().remaining_s is None
    for kind, seconds in ((JobKind.MEASURE, 2), (JobKind.DISTILL, 10)):
        grant = worker.lease()
        assert grant.work.kind is kind
        clock.advance(seconds)
        worker.report(grant)
    finalists_s = 2 * (10 * 1000 / FLASH_STEPS + 2)
    assert worker.study().remaining_s == pytest.approx(5 * (2 + 10) + finalists_s)
    add(worker, small(32))
    assert worker.study().remaining_s == pytest.approx(5 * (2 + 10) + finalists_s)
    worker.lease()
    clock.advance(1.5)
    assert worker.study().remaining_s == pytest.approx(5 * (2 + 10) + finalists_s - 1.5)
    worker.lease("second")
    assert worker.study().remaining_s == pytest.approx((5 * (2 + 10) + finalists_s - 1.5) / 2)


def test_studies_are_listed_newest_first(worker):
    worker.create(name="first")
    worker.create(name="second")
    with worker.store.read() as uow:
        assert [study.name for study in study_page(uow, 10).items] == ["second", "first"]


RANDOM = {"initialisation": "random"}
