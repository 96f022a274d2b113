"""Account takeover: is this the account's owner?

`sessions` scores what happens inside a session (which events follow which, how a pointer moves) against the account's
own history and everybody else's. Knows arrays and token lists: no journal, no store, no clock.
"""
