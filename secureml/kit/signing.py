"""Our own signing keys, for a plugin that issues tokens with ``host.signing``.

Needed to answer a request while there is no key to sign with: ``host.signing.active()`` raises
`SigningFault` then. The keys themselves have their shapes in `secureml.kit.protocols`.
"""

from __future__ import annotations

from secureml.state.signing import SigningFault

__all__ = ["SigningFault"]
