"""Sign-up templates: clusters of sign-ups that one hand made, found without labels."""

from shoal.coordination.templates.features import FEATURES as FEATURES
from shoal.coordination.templates.find import SignUpCluster as SignUpCluster
from shoal.coordination.templates.find import Templates as Templates
from shoal.coordination.templates.find import find as find
from shoal.coordination.templates.settings import Settings as Settings
from shoal.coordination.templates.signups import SignUps as SignUps
from shoal.coordination.templates.signups import make_signups as make_signups
from shoal.coordination.templates.signups import signups_of as signups_of
