"""Every failpoint in turn: a process dies there while the load runs, is started again, and nothing is lost or doubled.

One stack for all of them. In a round up to one process of each service dies, each at a point of its own.
"""

from chaos.failpoints.drives import AIMS, Aim
from chaos.failpoints.rounds import Result, kill_at, run, verdict, visit_all
from chaos.failpoints.stage import Stage, stage

__all__ = ["AIMS", "Aim", "Result", "Stage", "kill_at", "run", "stage", "verdict", "visit_all"]
