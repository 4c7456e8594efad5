from __future__ import annotations

from rich.console import Console

from bench.figures import Figure, Spread
from bench.machine import Usage
from bench.report import Run, as_json, invalid, spreads, table
from bench.run import Arm, Bench, Outcome

USAGE = Usage(seconds=2.0, cpu={}, steal=0.01, others=0.2, load=0.5)


def never(_: Bench) -> Outcome:
    raise AssertionError("not run here")


ARM = Arm("arm", "The arm", (Figure("rate", "events/s", aim=100), Figure("cost", "cost", digits=1)), never)


def run(rate: float, number: int = 1, *, kept: bool = True, problems: tuple[str, ...] = (), steal: float = 0.01) -> Run:
    usage = Usage(USAGE.seconds, USAGE.cpu, steal, USAGE.others, USAGE.load)
    return Run("arm", number, kept, Outcome({"rate": rate, "extra": 1.0}, usage, problems))


def printed(*runs: Run) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table([ARM], runs))
    return " ".join(captured.get().split())  # a long cell is broken over lines


def test_rounds_are_summed_up_and_repeated_runs_are_left_out() -> None:
    runs = [run(1, kept=False), run(90), run(110, 2), run(120, 3)]
    assert spreads(ARM, runs)["rate"] == Spread(110, 90, 120)


def test_the_table_shows_figures_aims_and_how_quiet_it_was() -> None:
    text = printed(run(90), run(1234, 2))
    assert "662" in text
    assert "90 - 1,234" in text
    assert "1% stolen" in text


def test_an_arm_with_one_wrong_output_has_no_rate() -> None:
    runs = [run(90), run(110, 2, problems=("3 events had no effect",))]
    assert invalid(ARM, runs) == ["round 2: 3 events had no effect"]
    assert "invalid: round 2: 3 events had no effect" in printed(*runs)
    assert "110" not in printed(*runs)
    assert as_json([ARM], runs, {})["arms"]["arm"]["figures"] == {}


def test_a_run_without_result_makes_the_arm_invalid() -> None:
    runs = [Run("arm", 1, kept=True, outcome=None, failure="scoring ended")]
    assert invalid(ARM, runs) == ["round 1: scoring ended"]
    assert "scoring ended" in printed(*runs)


def test_a_run_that_was_kept_although_its_time_was_stolen_is_marked() -> None:
    assert "a run was kept although its time was stolen" in printed(run(90, steal=0.2))
    assert "although" not in printed(run(90, steal=0.2, kept=False), run(90))


def test_the_json_holds_every_run_and_figures_that_the_table_leaves_out() -> None:
    told = as_json([ARM], [run(1, kept=False), run(90)], {"at": "now"})
    assert told["at"] == "now"
    assert [one["kept"] for one in told["arms"]["arm"]["runs"]] == [False, True]
    assert told["arms"]["arm"]["figures"]["rate"] == {"median": 90, "least": 90, "most": 90, "aim": 100}
    assert "extra" in told["arms"]["arm"]["figures"]
