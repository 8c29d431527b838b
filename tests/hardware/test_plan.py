"""What is asked of a process on each device."""

import pytest

from hardware.plan import PLANS, reference_rules, rules_of, tolerance
from hardware.quantile import quantile, quantile_of_calls
from hardware.round import relative_width
from hardware.values import Device, Effort, QuantileName

P50, P90, P99 = QuantileName


def test_a_cpu_has_the_plans_own_rules() -> None:
    assert rules_of(Effort.SEARCH, Device.CPU, (P50,)) == PLANS[Effort.SEARCH].rules
    assert tolerance(Device.CPU).interval == 0.05
    assert tolerance(Device.CPU).moved == 0.07


@pytest.mark.parametrize("device", [Device.CUDA, Device.TPU])
def test_an_accelerator_warms_up_longer_and_must_be_steadier(device: Device) -> None:
    for rules in (rules_of(Effort.SEARCH, device, (P50,)), reference_rules(device)):
        assert rules.tolerance == 0.02
        assert rules.warm_least_s == 1.0
    assert tolerance(device).moved == 0.03


@pytest.mark.parametrize("effort", [Effort.SEARCH, Effort.REPORT])
@pytest.mark.parametrize("name", list(QuantileName))
def test_each_process_makes_the_calls_that_both_bounds_of_its_own_quantile_need(
    effort: Effort, name: QuantileName
) -> None:
    rules = rules_of(effort, Device.CPU, (name,))
    own = quantile([float(call) for call in range(1, rules.samples + 1)], name.share)
    assert None not in (own.low_s, own.high_s)
    assert rules.samples * PLANS[effort].processes >= 100
    assert rules.quantiles == (name,)


@pytest.mark.parametrize(("name", "call_s"), [(P50, 0.29), (P90, 0.27), (P99, 0.026)])
def test_calls_that_barely_fit_into_a_search_bound_their_quantile(name: QuantileName, call_s: float) -> None:
    rules = rules_of(Effort.SEARCH, Device.CPU, (name,))
    samples_s: list[float] = []
    while not rules.enough(samples_s):
        samples_s.append(call_s * (1 + 1e-3 * (len(samples_s) % 7)))
    assert len(samples_s) >= rules.samples
    assert relative_width(quantile_of_calls(samples_s, name.share)) < 0.05


def test_of_several_quantiles_the_hardest_counts() -> None:
    both = rules_of(Effort.SEARCH, Device.CPU, (P50, P99))
    assert both.samples == rules_of(Effort.SEARCH, Device.CPU, (P99,)).samples


@pytest.mark.parametrize("device", list(Device))
def test_quick_asks_nothing_of_the_interval(device: Device) -> None:
    assert rules_of(Effort.QUICK, device, (P99,)).tolerance is None
