"""What a worker would have found: the measurements and scores of every study that these tests look at."""

from __future__ import annotations

from hardware.values import DeviceProfile, Effort, Measurement, Quantile, Source, Verdict
from protocol.jobs import Score


def measurement(
    profile: DeviceProfile,
    p50_s: float,
    *,
    effort: Effort = Effort.QUICK,
    verdict: Verdict = Verdict.STEADY,
    samples: int = 0,
) -> Measurement:
    """Of a device whose slower quantiles are fixed shares of the median."""

    def quantile(factor: float) -> Quantile:
        return Quantile(value_s=p50_s * factor, low_s=p50_s * factor * 0.98, high_s=p50_s * factor * 1.03)

    return Measurement(
        profile=profile,
        effort=effort,
        source=Source.MEASURED,
        verdict=verdict,
        p50=quantile(1.0),
        p90=quantile(1.08),
        p99=quantile(1.3),
        throughput_per_s=profile.batch / p50_s,
        load_s=0.1,
        first_call_s=0.01,
        compile_s=0.0,
        peak_memory_bytes=200_000_000,
        log_variance=1e-4,
        hardware_key="0" * 16,
        environment={"cpu": "none"},
        samples_s=[[p50_s] * samples] if samples else [],
        measured_at="2026-01-02T03:04:05+00:00",
    )


def score(value: float, half: float) -> Score:
    return Score(value=value, low=value - half, high=value + half)
