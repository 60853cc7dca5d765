"""What some plugins need, by topic: each module says for which plugin it is.

Public, and described in docs/plugins.md. A plugin imports ``secureml``, this package and itself.
Some modules hand on parts of the core; the others are shared parts that know no plugin, no Flask
and no core.
"""
