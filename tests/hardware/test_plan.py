"""What is asked of a process on each device."""

import pytest

from hardware.plan import PLANS, reference_rules, rules_of, tolerance
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
@pytest.mark.parametrize(("name", "least"), [(P50, 100), (P90, 64), (P99, 662)])
def test_all_processes_together_make_the_calls_that_a_quantile_needs(
    effort: Effort, name: QuantileName, least: int
) -> None:
    rules = rules_of(effort, Device.CPU, (name,))
    assert rules.samples * PLANS[effort].processes >= least
    assert rules.quantiles == (name,)


def test_of_several_quantiles_the_hardest_counts() -> None:
    both = rules_of(Effort.SEARCH, Device.CPU, (P50, P99))
    assert both.samples == rules_of(Effort.SEARCH, Device.CPU, (P99,)).samples


@pytest.mark.parametrize("device", list(Device))
def test_quick_asks_nothing_of_the_interval(device: Device) -> None:
    assert rules_of(Effort.QUICK, device, (P99,)).tolerance is None
