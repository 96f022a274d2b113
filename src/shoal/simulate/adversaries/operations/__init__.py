"""Operations: accounts that one operator runs, in cells that share nothing but his schedule, contents and targets.

`members` gets the accounts and their means, `acts` what they do together and for cover; `plan_operation` joins both.
"""

from __future__ import annotations

from shoal.simulate.adversaries.operations.acts import camouflage, joint_actions, lives, recoveries
from shoal.simulate.adversaries.operations.members import gather, give_means
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.rows import Rows


def plan_operation(stage: Stage) -> list[Rows]:
    """Sign-ups, means, joint actions, camouflage, life; and the way out of accounts that were hijacked."""
    out, crew = gather(stage)
    out += give_means(stage, crew)
    acts = joint_actions(stage, crew)
    out += acts
    out += camouflage(stage, crew, acts)
    out += lives(stage, crew)
    out += recoveries(stage, crew, out)
    return out


__all__ = ["plan_operation"]
