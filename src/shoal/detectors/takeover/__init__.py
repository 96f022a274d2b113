"""Account takeover: is this the account's owner?

`sessions` scores what happens inside a session (which events follow which, how a pointer moves) against the account's
own history and everybody else's. `segments` is the signal of stuffing and spraying: evidence of a campaign among the
logins of a segment. Knows arrays and token lists: no journal, no store, no clock.
"""
