"""Run one piece of untrusted work in a child process that has nothing to lose.

`run.run` starts it, `capabilities.available` says what this system can confine, `outcome.Outcome`
says how the work ended. Linux only; docs/confinement.md says what is confined by which mechanism.
Empty on purpose: the child imports single modules of this package before it is confined, and each
one more would be code that runs unconfined.
"""
