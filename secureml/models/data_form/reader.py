"""A data form read: checked as a whole, then built, then held to what scikit-learn keeps where.

Nothing here knows pickle. Names are looked up on a list before anything is built, instances and
compiled objects are made under the rules of ``unpickling``, and before anything of the result is
called its graph is walked: no function where scikit-learn keeps none, no node out of bounds.
"""

from __future__ import annotations

import warnings
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.data_form.construction import Construction
from secureml.models.data_form.frame import Frame, read_frame
from secureml.models.data_form.nodes import check_nodes, names_requested
from secureml.models.data_form.places import place_of
from secureml.models.data_form.refusals import FormRefused
from secureml.models.unpickling.file_inputs import check_reads_no_files
from secureml.models.unpickling.graph_check import check_graph
from secureml.models.unpickling.instances import Builder
from secureml.models.unpickling.memory_budget import MemoryBudget, ceiling
from secureml.models.unpickling.single_thread import use_one_thread


@dataclass(frozen=True)
class Limits:
    """How much one form may take.

    ``header``: the longest header, in bytes; ``nodes``: the most nodes; ``view_from``: arrays of
    so many bytes or more are read-only views of the given memory, smaller ones are copies.
    """

    header: int = 64 * 1024**2
    nodes: int = 4_000_000
    view_from: int = 64 * 1024


def read(data: bytes | memoryview, *, allowed: Container[str], limits: Limits | None = None) -> Any:
    """Return the estimator that a data form describes; raises FormRefused.

    ``data`` is the file as bytes, or memory that is kept as long as the estimator is used, such
    as a mapping of a file that nobody changes. ``allowed`` are the exact names of types and
    functions that may be asked for. The estimator works in the thread that asks it.
    """
    limits = limits or Limits()
    memory = memoryview(data).cast("B")
    frame = read_frame(memory, header_limit=limits.header)
    check_nodes(frame.nodes, [len(block) for block in frame.blocks], allowed, most=limits.nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", InconsistentVersionWarning)
        builder = Builder(allowed, MemoryBudget(ceiling(len(memory))))
        return _checked(_built(frame, builder, limits), builder)


def names(data: bytes | memoryview, *, limits: Limits | None = None) -> frozenset[str]:
    """Return the names of types and functions that a data form asks for; raises FormRefused.

    Nothing else of it is looked at.
    """
    memory = memoryview(data).cast("B")
    frame = read_frame(memory, header_limit=(limits or Limits()).header)
    return names_requested(frame.nodes)


def _built(frame: Frame, builder: Builder, limits: Limits) -> Any:
    making = Construction(frame.blocks, builder, limits.view_from)
    for index, node in enumerate(frame.nodes):
        try:
            making.add(node)
        except InconsistentVersionWarning as warning:
            raise FormRefused(
                place_of(frame.nodes, index),
                f"{warning.estimator_name} was made with scikit-learn "
                f"{warning.original_sklearn_version}, this is {warning.current_sklearn_version}",
                check="versions",
            ) from None
        except ModelRefused as error:
            raise FormRefused(
                place_of(frame.nodes, index), error.message, check=error.check
            ) from None
        except Exception as error:  # libraries may raise anything for parts that do not fit
            reason = str(error) or type(error).__name__
            raise FormRefused(place_of(frame.nodes, index), reason) from error
    return making.values[-1]


def _checked(estimator: Any, builder: Builder) -> Any:
    try:
        check_graph(estimator, builder.grants)
        check_reads_no_files(estimator)
        use_one_thread(estimator)
    except ModelRefused as error:
        raise FormRefused("the model", error.message, check=error.check) from None
    except Exception as error:  # as above
        raise FormRefused("the model", f"it cannot be checked ({error})") from error
    return estimator
