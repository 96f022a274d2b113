# ruff: noqa: RUF009
"""How the world answers to enforcement, and what each adversary can afford: the numbers of `simulate.react` as data.

Where a rate has a source it is named in the field's text: WWW2019 is Doerfler et al., Evaluating Login Challenges as a
Defense Against Account Takeover (WWW 2019), with the figures of its authors' summary (Google Security Blog, May 2019):
a code to the phone stopped 100 % of automated, 96 % of bulk phishing and 76 % of targeted attempts, a prompt on the
device 100, 99 and 90 %; a secondary e-mail address stopped 73 % of automated ones. Rates without a source are
assumptions, and are here so that a scenario can say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.simulate.scenario.knobs import fraction, knob


@dataclass(frozen=True)
class Passing:
    """Odds to pass a challenge of one method."""

    owner: float = fraction(0.93, "odds that the owner passes (assumption)")
    automated: float = fraction(0.0, "odds that a script with a stolen password passes (WWW2019)")
    bulk: float = fraction(0.04, "odds that a bulk phisher passes (WWW2019)")
    targeted: float = fraction(
        0.24, "odds that a targeted intruder passes (WWW2019); `account_takeover` has a knob of its own"
    )
    own: float = fraction(0.9, "odds that an adversary passes on an account of his own making (assumption)")


@dataclass(frozen=True)
class Totp(Passing):
    """A code on the phone."""


@dataclass(frozen=True)
class Push(Passing):
    """A prompt on the device."""

    owner: float = fraction(0.95, "odds that the owner passes (assumption)")
    bulk: float = fraction(0.01, "odds that a bulk phisher passes (WWW2019)")
    targeted: float = fraction(
        0.10, "odds that a targeted intruder passes (WWW2019); `account_takeover` has a knob of its own"
    )


@dataclass(frozen=True)
class EmailCode(Passing):
    """A code by e-mail."""

    owner: float = fraction(0.9, "odds that the owner passes (assumption)")
    automated: float = fraction(0.0, "odds that a script with a stolen password passes (assumption; as for phones)")
    bulk: float = fraction(0.27, "odds that a bulk phisher passes (assumption: WWW2019 has 27 % for automated ones)")
    targeted: float = fraction(0.4, "odds that a targeted intruder passes (assumption)")


@dataclass(frozen=True)
class Challenges:
    """Challenges of our own: the second factor of the account where it has one, else a code by e-mail."""

    totp: Totp = knob(Totp, "codes on the phone")
    push: Push = knob(Push, "prompts on the device")
    email_code: EmailCode = knob(EmailCode, "codes by e-mail")
    abandoned: float = fraction(0.6, "share of challenges not passed that are given up without an answer (assumption)")


@dataclass(frozen=True)
class Reactions:
    """How the world answers to enforcement (`shoal simulate --react`)."""

    step_min: float = knob(5.0, "minutes of simulated time between two hand-overs of actions", 0.1, 1440)
    delay_s: float = knob(30.0, "seconds from a decision to its effect", 0, 86_400)
    challenges: Challenges = knob(Challenges, "our own challenges")
    limit_per_min: float = knob(2.0, "events a minute that a rate limit lets through", 0.001, 100_000)
    visit_min: float = knob(30.0, "minutes of rest after which a person comes back as to a new visit", 1, 10_000)
    owner_reads: float = fraction(0.5, "odds that a notified owner reads it and takes the account back (assumption)")
    owner_reads_h: float = knob(3.0, "mean hours until then (assumption)", 0.01, 10_000)


@dataclass(frozen=True)
class Budget:
    """What an adversary can afford when he is stopped. What is spent is not replaced any more."""

    accounts: int = knob(5, "accounts (victims or fakes) with which burned ones are replaced", 0, 100_000)
    addresses: int = knob(20, "addresses with which burned ones are replaced", 0, 100_000)
    retries: int = knob(2, "new tries with the same account after it was stopped", 0, 1000)
    patience_h: float = knob(48.0, "hours from the first stop until he loses interest and stops", 0, 100_000)
    delay_min: float = knob(30.0, "mean minutes until he notices and comes back", 0.1, 100_000)
