"""The simulations for longer than the test command takes: `python tests/faults/by_hand.py crashes --states 200000`.

`crashes` and `model` take a seed, draw one where none is given, and print it: the same seed does the same again.
`again` repeats one crash state, by what a failure has printed.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
MEMORY = Path("/dev/shm")


def crash(name: str, seed: int, states: int) -> tuple[str, dict[str, int]]:
    """Run the crashes of one scenario."""
    from simulated_crashes import Simulation
    from simulated_scenarios import SCENARIOS

    scenario = next(each for each in SCENARIOS if each.name == name)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        simulation = Simulation(Path(folder), scenario, seed)
        asyncio.run(simulation.run(states))
    return name, dict(simulation.counts)


def crashes(words: argparse.Namespace) -> None:
    """Run those of all scenarios, on two processors."""
    from simulated_scenarios import SCENARIOS

    each = -(-words.states // len(SCENARIOS))
    total = 0
    with ProcessPoolExecutor(2) as pool:
        names = [scenario.name for scenario in SCENARIOS]
        for name, counts in pool.map(partial(crash, seed=words.seed, states=each), names):
            total += counts["states"]
            print(f"{name}: {counts['states']} crash states, {counts['second crashes']} of them second ones")
    print(f"{total} crash states, none with a fault")


def model(words: argparse.Namespace) -> None:
    """Run the engine beside its model."""
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test
    from upload_machines import MACHINES

    for machine in MACHINES:
        run_state_machine_as_test(
            seed(words.seed)(machine),
            settings=settings(
                max_examples=words.runs,
                stateful_step_count=words.steps,
                deadline=None,
                database=None,
                print_blob=True,
                phases=[Phase.generate] if words.plain else [Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
        print(f"{machine.__name__}: {words.runs} runs, {machine.steps} steps")


def again(words: argparse.Namespace) -> None:
    """Repeat one crash state."""
    from simulated_crashes import Case, Simulation
    from simulated_scenarios import SCENARIOS

    case = eval(words.case, {"Case": Case})  # typed by who runs this
    scenario = next(each for each in SCENARIOS if each.name == case.scenario)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        asyncio.run(Simulation(Path(folder), scenario, case.seed).repeat(case))
    print("no fault")


def main() -> None:
    """Read the words and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("crashes", crashes), ("model", model)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
        command.add_argument("--states", type=int, default=200_000)
        command.add_argument("--runs", type=int, default=5_000)
        command.add_argument("--steps", type=int, default=100)
        command.add_argument("--plain", action="store_true", help="make no failure smaller")
    command = commands.add_parser("again")
    command.set_defaults(run=again)
    command.add_argument("case", help="Case(…) as printed")
    words = parser.parse_args()
    if "seed" in words:
        print(f"seed {words.seed}", flush=True)
    began = time.monotonic()
    words.run(words)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
