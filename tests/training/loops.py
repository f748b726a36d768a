"""The loop of a run that is set up, without validation."""

from selkd.training.loop import Loop
from selkd.training.setup import Setup


def loop_of(setup: Setup) -> Loop:
    batches, training = setup.batches(), setup.config.training
    return Loop(
        model=setup.student(), objective=setup.objective(batches.counts), batches=batches,
        validate=lambda _: {"accuracy": 0.0}, score="accuracy", optimiser=training.optimiser,
        schedule=training.schedule, total_steps=setup.total_steps, device=setup.device, precision=training.precision,
        keys=setup.keys, weighing=setup.weighing, outer=setup.outer_batches(),
    )  # fmt: skip
