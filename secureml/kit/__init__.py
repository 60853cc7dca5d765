"""What several plugins need, once: small parts that know no plugin and no Flask.

Public, and described in docs/plugins.md. A plugin imports ``secureml``, this package and itself.
"""
