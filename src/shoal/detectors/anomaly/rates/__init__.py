"""Rates of a service (logins, failures, sign-ups, downloads) watched with season and trend, by segment.

`count_buckets` counts events by hour and segment, `watch_rates` goes through counted buckets and gives the alarms,
`RateWatch` is the same a bucket at a time. An alarm says which segment moved, and by how much. Knows counts and names:
no event, no clock; the same buckets give the same alarms.
"""

from shoal.detectors.anomaly.rates.expected import Settings
from shoal.detectors.anomaly.rates.watch import Mover, RateAlarm, RateWatch, count_buckets, watch_rates

__all__ = ["Mover", "RateAlarm", "RateWatch", "Settings", "count_buckets", "watch_rates"]
