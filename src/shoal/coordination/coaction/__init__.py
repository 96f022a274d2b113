"""Co-action: accounts that act on the same objects at the same times, more often than chance lets them."""

from shoal.coordination.coaction.actions import actions as actions
from shoal.coordination.coaction.actions import actions_of as actions_of
from shoal.coordination.coaction.actions import entities_of as entities_of
from shoal.coordination.coaction.actions import null_of as null_of
from shoal.coordination.coaction.components import components as components
from shoal.coordination.coaction.engines import DuckEngine as DuckEngine
from shoal.coordination.coaction.engines import SparkEngine as SparkEngine
from shoal.coordination.coaction.examples import Meeting as Meeting
from shoal.coordination.coaction.examples import examples as examples
from shoal.coordination.coaction.examples import told as told
from shoal.coordination.coaction.find import CoAction as CoAction
from shoal.coordination.coaction.find import calibrate as calibrate
from shoal.coordination.coaction.find import coaction as coaction
from shoal.coordination.coaction.lockstep import Group as Group
from shoal.coordination.coaction.lockstep import Lockstep as Lockstep
from shoal.coordination.coaction.lockstep import LockstepSettings as LockstepSettings
from shoal.coordination.coaction.lockstep import lockstep as lockstep
from shoal.coordination.coaction.settings import CoActionSettings as CoActionSettings
