import json
from dataclasses import replace

import numpy as np
import pytest

from encoders.values import Head
from hardware.calibration import CalibrationError, calibrate, dependence
from hardware.errors import BusyError, HangError, OutOfMemoryError, UnsupportedProfileError
from hardware.values import DeviceProfile, Effort, Measurement, Quantile, QuantileName, Source, Verdict
from search_space import Choice, IntegerRange, SearchSpace, cost
from search_space.design import design
from search_space.latency_model import Agreement

SPACE = SearchSpace(
    dimensions={
        "layers": IntegerRange(low=1, high=6),
        "hidden_size": Choice(values=(32, 64, 128)),
        "heads": Choice(values=(1, 2, 4)),
        "ffn_size": Choice(values=(64, 128, 256)),
    }
)
PROFILE = DeviceProfile(length=32)
HEAD = Head(classes=2)


def latency_s(architecture):
    return 1e-3 + cost(architecture, length=32).macs / 1e10


class Device:
    """Measures at once; counts, and may change, run out of memory or be interrupted.

    `pace` is by how much it is slower at the n-th measurement, which a reference beside it shows where `tells`.
    """

    def __init__(
        self, latency_s=latency_s, hardware_key="key", verdict=Verdict.STEADY, pace=lambda place: 1.0, tells=False
    ):
        self.measured = []
        self.pace, self.tells = pace, tells
        self.latency_s, self.hardware_key, self.verdict = latency_s, hardware_key, verdict

    def __call__(self, architecture):
        self.measured.append(architecture)
        pace = self.pace(len(self.measured))
        value_s = self.latency_s(architecture) * pace
        return Measurement(
            profile=PROFILE,
            effort=Effort.QUICK,
            source=Source.MEASURED,
            verdict=self.verdict,
            p50=Quantile(value_s=value_s, low_s=0.9 * value_s, high_s=1.1 * value_s),
            p90=Quantile(value_s=2 * value_s, low_s=None, high_s=None),
            p99=Quantile(value_s=3 * value_s, low_s=None, high_s=None),
            throughput_per_s=1 / value_s,
            load_s=0.1,
            first_call_s=0.1,
            compile_s=0.0,
            peak_memory_bytes=1,
            log_variance=1e-4,
            hardware_key=self.hardware_key,
            environment={"cpu": "imagined"},
            samples_s=[[value_s]],
            measured_at=f"2030-01-01T00:{len(self.measured):02}:00+00:00",
            reference_s=1e-3 * pace if self.tells else None,
            reference_shift=0.01 if self.tells else None,
        )


def chosen(count=24):
    return SPACE.architectures(design(SPACE, count))


def run(device, architectures=None, **more):
    return calibrate(architectures or chosen(), PROFILE, HEAD, device, **{"effort": Effort.QUICK} | more)


def test_a_calibration_measures_each_architecture_once_and_predicts_the_others():
    device = Device()
    found = run(device, space_key="space")
    assert device.measured == chosen()
    assert [row.architecture for row in found.rows] == chosen()
    assert (found.profile, found.hardware_key, found.space_key) == (PROFILE, "key", "space")
    assert found.measured_at == "2030-01-01T00:24:00+00:00"
    others = [one for one in SPACE.architectures(range(SPACE.size)) if one not in chosen()]
    means, _ = found.model.predict_architectures(others)
    errors = np.abs(np.exp(means) / [latency_s(one) for one in others] - 1)
    assert errors.mean() < 0.03
    assert found.cross_validated.count == 24
    assert found.cross_validated.mape < 0.1
    assert found.held_out.count == 5
    assert found.flat is None
    assert found.model.covers(SPACE)
    for row in found.rows:
        assert row.predicted_s == pytest.approx(row.latency_s, rel=0.5)
        assert row.predicted_s != row.latency_s


def test_a_machine_that_is_slower_for_a_while_does_not_spoil_the_model():
    def pace(place):
        return 1.3 if place % 8 < 4 else 1.0

    blind, told = (run(Device(pace=pace, tells=tells)) for tells in (False, True))
    assert told.cross_validated.mape < 0.5 * blind.cross_validated.mape
    assert [row.latency_s for row in told.rows] == [row.latency_s for row in blind.rows]
    errors = [abs(row.predicted_s / row.latency_s - 1) for row in told.rows]
    assert np.mean(errors) == pytest.approx(told.cross_validated.mape, rel=0.3)  # what a table of them shows


def test_the_quantile_that_counts_is_the_one_that_is_fitted():
    found = run(Device(), quantile=QuantileName.P90)
    assert [row.latency_s for row in found.rows] == [2 * latency_s(row.architecture) for row in found.rows]
    assert {row.low_s for row in found.rows} == {None}


def test_an_interrupted_calibration_goes_on_where_it_was(tmp_path):
    first, second = Device(), Device()

    def stop(done, total, architecture):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(first, kept=tmp_path, observe=stop)
    seen = []
    found = run(second, kept=tmp_path, observe=lambda done, total, architecture: seen.append((done, total)))
    assert first.measured + second.measured == chosen()
    assert seen == [(done, 24) for done in range(10, 24)]
    assert [row.architecture for row in found.rows] == chosen()
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"architecture": {}}'])
def test_what_was_kept_and_cannot_be_read_is_measured_again(tmp_path, content):
    def stop(done, total, architecture):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Device(), kept=tmp_path, observe=stop)
    for path in tmp_path.rglob("*.json"):
        path.write_text(content)
    again = Device()
    run(again, kept=tmp_path)
    assert again.measured == chosen()


def test_what_was_kept_under_other_conditions_is_left_alone(tmp_path):
    def stop(done, total, architecture):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Device(), kept=tmp_path, observe=stop)
    other = Device()
    run(other, kept=tmp_path, effort=Effort.SEARCH)
    assert other.measured == chosen()
    assert len(list(tmp_path.rglob("*.json"))) == 3


def test_a_calibration_that_ends_leaves_what_another_process_keeps_or_is_about_to(tmp_path):
    def stop(done, total, architecture):
        if done == 3:
            raise KeyboardInterrupt

    own, others = chosen(48)[::2], chosen(48)[1::2]
    with pytest.raises(KeyboardInterrupt):
        run(Device(), others, kept=tmp_path, observe=stop)
    (folder,) = tmp_path.iterdir()
    theirs = {*folder.iterdir(), folder / f"{own[0].key}.1"}
    (folder / f"{own[0].key}.1").write_text("half")
    run(Device(), own, kept=tmp_path)
    assert set(folder.iterdir()) == theirs
    going_on = Device()
    run(going_on, others, kept=tmp_path)
    assert len(going_on.measured) == len(others) - 3


def test_a_machine_that_changed_is_measured_anew(tmp_path):
    def stop(done, total, architecture):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Device(), kept=tmp_path, observe=stop)
    (folder,) = tmp_path.iterdir()
    for path in folder.iterdir():
        kept = json.loads(path.read_text())
        path.write_text(json.dumps(kept | {"measured_at": "2029-12-31T00:00:00+00:00"}))
    changed = Device(hardware_key="other")
    found = run(changed, kept=tmp_path)
    assert found.hardware_key == "other"
    assert sorted(one.key for one in changed.measured) == sorted(one.key for one in chosen())


def test_a_machine_that_keeps_changing_is_told():
    device = Device()

    def changing(architecture):
        return replace(device(architecture), hardware_key=str(len(device.measured)))

    with pytest.raises(CalibrationError, match="changed while it was calibrated"):
        run(changing)


def test_what_does_not_fit_into_memory_is_left_out():
    device = Device()

    def small(architecture):
        if architecture.layers == 6:
            raise OutOfMemoryError("too large")
        return device(architecture)

    left = [one for one in chosen() if one.layers != 6]
    found = run(small)
    assert [row.architecture for row in found.rows] == left
    assert found.notes[0] == f"{24 - len(left)} architectures left out: too large for the device's memory"
    with pytest.raises(CalibrationError, match=r"3 architectures .* at least 8; 1 architecture left out: too large"):
        run(small, left[:3] + [one for one in chosen() if one.layers == 6][:1])


def failing(device, wrong, kind=HangError):
    def measure(architecture):
        if architecture in wrong:
            device.measured.append(architecture)
            raise kind("no answer\n within 75 s")
        return device(architecture)

    return measure


def test_what_cannot_be_measured_blocks_no_calibration_and_is_told_with_its_reasons():
    wrong = sorted(chosen(), key=lambda one: one.layers)[-6:]
    device = Device()
    found = run(failing(device, wrong))
    assert sorted(one.key for one in device.measured) == sorted(one.key for one in chosen())
    assert [row.architecture for row in found.rows] == [one for one in chosen() if one not in wrong]
    assert found.notes[0] == "6 architectures left out: no answer within 75 s (6 times)"


def test_a_calibration_of_which_too_much_fails_is_refused_with_the_reasons_before_all_is_tried(tmp_path):
    device = Device()
    said = r"7 of 24 architectures could not be measured, more than the 25% .*: no answer within 75 s \(7 times\)"
    with pytest.raises(CalibrationError, match=said):
        run(failing(device, chosen()[1:8]), kept=tmp_path)
    assert device.measured == chosen()[:8]
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize("kind", [UnsupportedProfileError, BusyError])
def test_what_is_no_fault_of_an_architecture_ends_a_calibration(kind):
    with pytest.raises(kind):
        run(failing(Device(), chosen()[:1], kind))


def test_notes_tell_the_verdicts_and_the_rows_that_do_not_fit():
    wrong = chosen()[5]
    found = run(Device(lambda one: latency_s(one) * (20 if one == wrong else 1), verdict=Verdict.NOISY))
    assert "24 of 24 measurements are noisy" in found.notes
    assert any("hardly count" in note and wrong.label in note for note in found.notes)


def test_a_latency_that_hardly_depends_on_the_space_is_told_in_plain_words():
    noise = iter(np.random.default_rng(0).standard_normal(100))
    found = run(Device(lambda _: 5e-3 * np.exp(0.02 * next(noise))))
    assert "latency hardly depends on this search space" in found.flat
    assert "noise" in found.flat


@pytest.mark.parametrize(
    ("spread", "rank", "flat"), [(1.0, 0.9, False), (0.1, 0.9, True), (1.0, 0.1, True), (1.0, None, True)]
)
def test_dependence_needs_a_range_and_ranks(spread, rank, flat):
    latencies = np.exp(np.linspace(0, spread, 50))
    agreed = Agreement(count=50, mape=0.1, median_ape=0.1, spearman=rank, within=0.9)
    assert (dependence(latencies, agreed) is not None) == flat


def test_a_loaded_machine_that_doubts_all_it_measures_is_calibrated_all_the_same():
    device = Device()
    found = run(lambda one: replace(device(one), log_variance=10.0, verdict=Verdict.NOISY))
    assert found.cross_validated.mape < 0.1
    assert found.flat is None
