"""The arms: one module for each thing that is measured."""

from bench.arms import assignments, faust, intake, latency, scoring, spine
from bench.run import Arm

ARMS: dict[str, Arm] = {
    arm.name: arm for arm in (spine.ARM, scoring.ARM, assignments.ARM, latency.ARM, intake.ARM, faust.ARM)
}
