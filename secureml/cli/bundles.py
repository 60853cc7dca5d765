"""``secureml models bundle`` and ``check-bundle``, and a model file that a bundle must sign.

Bundles are those of OpenSSF model signing, with which others check where a model comes from. They
are signed and verified with keys alone: an identity of Sigstore would need the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml import layout
from secureml.cli.main import CommandContext
from secureml.cli.model_records import has_settings, registry_of
from secureml.cli.model_refusals import with_refusals
from secureml.config_error import ConfigError
from secureml.kit.output import Command, emit, json_option

if TYPE_CHECKING:
    from secureml.models.provenance.signed_files import SignedFiles
    from secureml.models.serving.registry import Registry
    from secureml.models.serving.verification import Verifier

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", metavar="NAME[@VERSION]")
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--key",
    type=_FILE,
    required=True,
    metavar="PRIVATE.pem",
    help="Key on an elliptic curve (P-256, P-384 or P-521), without a password.",
)
@json_option
@click.pass_obj
@with_refusals
def bundle(context: CommandContext, model: str, output: Path, key: Path, as_json: bool) -> None:
    """Verify a version, sign its files for others, and write the bundle to OUTPUT, a new file.

    The bundle is one of OpenSSF model signing: whoever has the folder of the version and the
    public key can check it with `model_signing verify key`. Without @VERSION it is of the version
    in use. The key that seals models is of another kind (Ed25519) and cannot sign bundles;
    signing with an identity (keyless) needs the network and is not offered.
    """
    from secureml.models.provenance.signing import sign
    from secureml.models.serving.verification import prove

    registry = registry_of(context)
    name, sign_of_version, version = model.partition("@")
    artifact = registry.artifact(name, version if sign_of_version else registry.chosen(name))
    _check_output(context, output)
    layout.check_mode(key, "the key that signs bundles", 0o600)
    prove(artifact, _verifiers(context, registry), registry.extra_allowed, registry.sections)
    if not layout.write_new(output, sign(artifact, key), 0o644):
        raise _is_there(output)
    emit(
        {"name": name, "version": artifact.version, "bundle": str(output)},
        as_json,
        f"{output} signs version {artifact.version} of {name}",
    )


@click.command("check-bundle")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", "file", type=_FILE, required=True, metavar="FILE", help="The bundle.")
@click.option(
    "--key", type=_FILE, required=True, metavar="PUBLIC.pem", help="Public key of who signed it."
)
@json_option
def check_bundle(path: Path, file: Path, key: Path, as_json: bool) -> None:
    """Verify a folder or file against a bundle of OpenSSF model signing; say what differs."""
    from secureml.models.provenance.folder import check

    found = check(path, file, key)
    text = [f"{path} is as {file} signs it: {found.digests} digests, key {found.key}"]
    if found.left_out:
        text.append("there, but left out of the bundle: " + ", ".join(found.left_out))
    data = {"digests": found.digests, "key": found.key, "left_out": list(found.left_out)}
    emit(data, as_json, "\n".join(text))


COMMANDS = (bundle, check_bundle)
_OPTIONS = (
    click.option(
        "--bundle",
        type=_FILE,
        help="Bundle of OpenSSF model signing that must sign FILE; it is verified before FILE is "
        "read.",
    ),
    click.option("--bundle-key", type=_FILE, help="Public key (PEM) of who signed the bundle."),
)


def bundle_options(command: Command) -> Command:
    """Add the options of a bundle that must sign the model file to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def signed_files(bundle: Path | None, key: Path | None) -> SignedFiles | None:
    """Return what the bundle of these options signs, verified; None where there is none."""
    if bundle is None and key is None:
        return None
    if bundle is None or key is None:
        raise click.UsageError(
            "--bundle and --bundle-key are given together: the bundle of the file, and the public "
            "key of who signed it"
        )
    from secureml.models.provenance.signed_files import signed_files as read

    return read(bundle, key)


def _check_output(context: CommandContext, output: Path) -> None:
    """Refuse a file that is there, and one among the models: it would be part of a version."""
    folder = context.instance / "models"
    if has_settings(context):
        folder = context.core.settings.models_folder
    if output.exists() or output.is_symlink():
        raise _is_there(output)
    if output.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            "the bundle would lie among the models", file=str(output), fix="name another folder"
        )


def _is_there(output: Path) -> ConfigError:
    return ConfigError("the file exists already", file=str(output), fix="name another")


def _verifiers(context: CommandContext, registry: Registry) -> Sequence[Verifier]:
    """Return what verifies a version at the start, or the sealing key where there is no such."""
    if registry.verifiers:
        return registry.verifiers
    from secureml.models.artifact import signature

    path = context.instance / layout.SEALING_KEY
    try:
        key = signature.read_private_key(path).public_key()
    except (OSError, ValueError) as error:
        raise ConfigError(
            "nothing here tells which versions are genuine: no plugin that verifies models, and "
            f"the sealing key cannot be read ({type(error).__name__})",
            file=str(path),
            fix="run this where models are sealed or served",
        ) from None
    return [lambda artifact: signature.verify_signature(artifact, [key])]
