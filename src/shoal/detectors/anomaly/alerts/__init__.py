"""From suspicion in several directions to the few alerts a day that people can look at.

`dominated` counts, for each event, those that are at most as suspicious in every direction; `Directed` is that count
as a detector in the shape of the contract; `AlertBudget` closes one day after another and spends its alerts.
Directed anomaly scoring: Ho, Sharma, Javed, Paxson, Wagner, USENIX Security 2017. Knows arrays and names, no event.
"""

from shoal.detectors.anomaly.alerts.budget import Alert, AlertBudget, View
from shoal.detectors.anomaly.alerts.dominance import Directed, dominated

__all__ = ["Alert", "AlertBudget", "Directed", "View", "dominated"]
